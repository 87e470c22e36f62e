#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static enum err_code read_all(int fd, const char *path, struct buf *out,
                              struct err *err)
{
    char piece[16384];
    for (;;) {
        ssize_t n = read(fd, piece, sizeof(piece));
        if (n == 0)
            return ERR_NONE;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_system(err, errno, "cannot read %s", path);
        buf_add(out, piece, (size_t)n);
        if (!buf_ok(out))
            return err_set(err, ERR_TOO_LARGE, "%s is larger than %zu bytes",
                           path, out->max);
    }
}

enum err_code file_read(const char *path, struct buf *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_system(err, errno, "cannot open %s", path);
    enum err_code code = read_all(fd, path, out, err);
    (void)close(fd);
    return code;
}

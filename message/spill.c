#include "message/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/mem.h"

/* Goes to the file in one go, once there is one. */
#define CHUNK_BYTES ((size_t)1 << 17)

void spill_init(struct spill *s)
{
    buf_init(&s->bytes, SPILL_MEMORY_BYTES + SPILL_STEP_BYTES);
    s->fd = -1;
    s->written = 0;
}

void spill_fini(struct spill *s)
{
    buf_fini(&s->bytes);
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = -1;
}

/* A disk that is full or gone is no matter of rights or names to callers. */
static enum err_code disk_trouble(struct err *err, const char *what,
                                  const char *folder)
{
    (void)err_system(err, errno, "%s a temporary file in %s", what, folder);
    if (err != NULL)
        err->code = ERR_SYSTEM;
    return ERR_SYSTEM;
}

static const char *folder_name(void)
{
    const char *folder = secure_getenv("TMPDIR");
    return folder == NULL || folder[0] == '\0' ? "/var/tmp" : folder;
}

/* For file systems that know no files without a name. */
static int open_and_unlink(const char *folder)
{
    char path[4096];
    int len = snprintf(path, sizeof(path), "%s/postrider-XXXXXX", folder);
    if (len < 0 || (size_t)len >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        (void)unlink(path);
    return fd;
}

static enum err_code open_file(struct spill *s, struct err *err)
{
    const char *folder = folder_name();
    s->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (s->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
        s->fd = open_and_unlink(folder);
    if (s->fd < 0)
        return disk_trouble(err, "opening", folder);
    return ERR_NONE;
}

static enum err_code flush(struct spill *s, struct err *err)
{
    size_t done = 0;
    if (s->fd < 0) {
        enum err_code rc = open_file(s, err);
        if (rc != ERR_NONE)
            return rc;
    }
    while (done < s->bytes.len) {
        ssize_t n = write(s->fd, s->bytes.data + done, s->bytes.len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return disk_trouble(err, "writing to", folder_name());
        done += (size_t)n;
    }
    s->written += done;
    buf_truncate(&s->bytes, 0);
    return ERR_NONE;
}

enum err_code spill_step(struct spill *s, struct err *err)
{
    if (!buf_ok(&s->bytes))
        return err_set(err, ERR_SYSTEM, "no memory for the message");
    size_t limit = s->fd < 0 ? SPILL_MEMORY_BYTES : CHUNK_BYTES;
    return s->bytes.len > limit ? flush(s, err) : ERR_NONE;
}

enum err_code spill_finish(struct spill *s, struct body **out, struct err *err)
{
    enum err_code rc = spill_step(s, err);
    if (rc == ERR_NONE && s->fd >= 0)
        rc = flush(s, err);
    if (rc != ERR_NONE)
        return rc;
    if (s->fd >= 0) {
        *out = body_from_file(s->fd, s->written);
        s->fd = -1;
        s->written = 0;
    } else {
        size_t len;
        char *data = buf_take(&s->bytes, &len);
        *out = body_from_memory(mem_realloc(data, len > 0 ? len : 1), len);
    }
    return ERR_NONE;
}

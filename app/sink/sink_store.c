#include "app/sink/sink_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"

#define PENDING_BYTES (64U << 10)
#define DIR_ACCESS    0755
#define FILE_ACCESS   0644

static enum err_code make_dir(int at, const char *dir, const char *name,
                              struct err *err)
{
    if (mkdirat(at, name, DIR_ACCESS) == 0 || errno == EEXIST)
        return ERR_NONE;
    return err_system(err, errno, "cannot make the directory %s/%s", dir, name);
}

static enum err_code open_dir(int at, const char *dir, const char *name,
                              int *fd, struct err *err)
{
    *fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return err_system(err, errno, "cannot open the directory %s/%s", dir,
                          name);
    return ERR_NONE;
}

enum err_code sink_store_init(struct sink_store *s, const char *dir,
                              struct err *err)
{
    int top = -1;
    *s = (struct sink_store){.tmp_fd = -1, .new_fd = -1};
    if (dir == NULL)
        return ERR_NONE;
    if (mkdir(dir, DIR_ACCESS) != 0 && errno != EEXIST)
        return err_system(err, errno, "cannot make the directory %s", dir);
    enum err_code code = open_dir(AT_FDCWD, ".", dir, &top, err);
    if (code == ERR_NONE)
        code = make_dir(top, dir, "tmp", err);
    if (code == ERR_NONE)
        code = make_dir(top, dir, "new", err);
    if (code == ERR_NONE)
        code = make_dir(top, dir, "cur", err);
    if (code == ERR_NONE)
        code = open_dir(top, dir, "tmp", &s->tmp_fd, err);
    if (code == ERR_NONE)
        code = open_dir(top, dir, "new", &s->new_fd, err);
    if (top >= 0)
        (void)close(top);
    s->started_ms = (uint64_t)clock_real_ms(clock_system());
    return code;
}

void sink_store_fini(struct sink_store *s)
{
    if (s->tmp_fd >= 0)
        (void)close(s->tmp_fd);
    if (s->new_fd >= 0)
        (void)close(s->new_fd);
    s->tmp_fd = s->new_fd = -1;
}

void sink_file_init(struct sink_file *f)
{
    f->fd = -1;
    f->name[0] = '\0';
    buf_init(&f->pending, PENDING_BYTES);
}

void sink_file_fini(struct sink_file *f)
{
    buf_fini(&f->pending);
}

enum err_code sink_file_open(struct sink_file *f, struct sink_store *s)
{
    (void)snprintf(f->name, sizeof(f->name), "%llu.P%ldQ%llu.sink",
                   (unsigned long long)s->started_ms, (long)getpid(),
                   (unsigned long long)++s->files);
    f->fd = openat(s->tmp_fd, f->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                   FILE_ACCESS);
    return f->fd < 0 ? ERR_SYSTEM : ERR_NONE;
}

static enum err_code write_all(int fd, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.data, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return ERR_SYSTEM;
        bytes = str_after(bytes, (size_t)n);
    }
    return ERR_NONE;
}

static enum err_code write_pending(struct sink_file *f)
{
    enum err_code code = write_all(f->fd, buf_str(&f->pending));
    buf_truncate(&f->pending, 0);
    return code;
}

enum err_code sink_file_add(struct sink_file *f, struct str bytes)
{
    enum err_code code = ERR_NONE;
    if (bytes.len > PENDING_BYTES - f->pending.len)
        code = write_pending(f);
    if (code != ERR_NONE)
        return code;
    if (bytes.len > PENDING_BYTES)
        return write_all(f->fd, bytes);
    buf_add_str(&f->pending, bytes);
    return ERR_NONE;
}

enum err_code sink_file_commit(struct sink_file *f, const struct sink_store *s)
{
    enum err_code code = write_pending(f);
    if (close(f->fd) != 0)
        code = ERR_SYSTEM;
    f->fd = -1;
    if (code == ERR_NONE &&
        renameat(s->tmp_fd, f->name, s->new_fd, f->name) != 0)
        code = ERR_SYSTEM;
    if (code != ERR_NONE)
        (void)unlinkat(s->tmp_fd, f->name, 0);
    return code;
}

void sink_file_abandon(struct sink_file *f, const struct sink_store *s)
{
    if (f->fd < 0)
        return;
    (void)close(f->fd);
    f->fd = -1;
    buf_truncate(&f->pending, 0);
    (void)unlinkat(s->tmp_fd, f->name, 0);
}

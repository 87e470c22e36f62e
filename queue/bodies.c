#include "queue/bodies.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "queue/store_file.h"

#define DIRECTORY ".bodies" /* behind the spool's path */

#define PART ".part" /* behind the id, until the file is whole */

enum {
    PIECE_BYTES = 256 << 10,
    PART_NAME_LEN = ID_LEN + sizeof(PART), /* with its NUL */
};

struct bodies {
    int fd; /* of the directory */
    char *path;
};

char *bodies_directory(const char *spool_path)
{
    size_t len = strlen(spool_path) + sizeof(DIRECTORY);
    char *directory = mem_alloc(len);
    (void)snprintf(directory, len, "%s" DIRECTORY, spool_path);
    return directory;
}

/* ---- open ---- */

static enum err_code check_directory(struct bodies *b, struct err *err)
{
    struct stat st;
    if (fstat(b->fd, &st) != 0)
        return err_system(err, errno, "cannot read %s", b->path);
    if ((st.st_mode & 077) != 0)
        return err_set(err, ERR_DENIED,
                       "%s can be read or written by others (mode %04o): look "
                       "who did, then say chmod 700 %s",
                       b->path, st.st_mode & 07777, b->path);
    if (faccessat(AT_FDCWD, b->path, W_OK | X_OK, AT_EACCESS) != 0)
        return err_system(err, errno,
                          "cannot write to %s: give it to the user that runs "
                          "the daemon",
                          b->path);
    return ERR_NONE;
}

static enum err_code open_directory(struct bodies *b, struct err *err)
{
    bool made = mkdir(b->path, 0700) == 0;
    if (!made && errno != EEXIST)
        return err_system(err, errno, "cannot make the directory %s", b->path);
    b->fd = open(b->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (b->fd < 0 && errno == ENOTDIR)
        return err_set(err, ERR_INVALID,
                       "%s is not a directory: move it away, large bodies go "
                       "there",
                       b->path);
    if (b->fd < 0)
        return err_system(err, errno, "cannot open the directory %s", b->path);
    if (made && fchmod(b->fd, 0700) != 0)
        return err_system(err, errno, "cannot set the mode of %s", b->path);
    return check_directory(b, err);
}

enum err_code bodies_open(struct bodies **out, const char *directory,
                          struct err *err)
{
    struct bodies *b;
    MEM_NEW(b);
    b->fd = -1;
    b->path = mem_strdup(str_from(directory));
    enum err_code code = open_directory(b, err);
    /* Also when it was there: who made it may not have lived to sync it. */
    if (code == ERR_NONE)
        code = store_file_sync_parent(b->path, err);
    if (code == ERR_NONE)
        *out = b;
    else
        bodies_close(b);
    return code;
}

void bodies_close(struct bodies *b)
{
    if (b == NULL)
        return;
    if (b->fd >= 0)
        (void)close(b->fd);
    mem_free(b->path);
    mem_free(b);
}

/* ---- write ---- */

static void part_name(const struct id *id, char *name)
{
    memcpy(name, id->text, ID_LEN);
    memcpy(name + ID_LEN, PART, sizeof(PART));
}

static enum err_code write_error(const struct bodies *b, const char *name,
                                 int reason, struct err *err)
{
    if (store_file_is_full(reason))
        return err_set(err, ERR_FULL, "the disk of %s is full: make room there",
                       b->path);
    return err_system(err, reason, "cannot write %s/%s", b->path, name);
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static enum err_code copy_body(const struct bodies *b, const char *name, int fd,
                               const struct body *body, struct err *err)
{
    char *piece = mem_alloc(PIECE_BYTES);
    enum err_code code = ERR_NONE;
    uint64_t at = 0;
    while (at < body_size(body) && code == ERR_NONE) {
        size_t got = 0;
        if (body_read(body, at, piece, PIECE_BYTES, &got) != ERR_NONE ||
            got == 0)
            code = err_set(err, ERR_SYSTEM, "a body cannot be read back");
        else if (!write_all(fd, piece, got))
            code = write_error(b, name, errno, err);
        at += got;
    }
    mem_free(piece);
    return code;
}

static enum err_code write_part(const struct bodies *b, const char *name,
                                const struct body *body, struct err *err)
{
    int fd =
        openat(b->fd, name,
               O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return write_error(b, name, errno, err);
    enum err_code code = copy_body(b, name, fd, body, err);
    if (code == ERR_NONE && (fchmod(fd, 0600) != 0 || fsync(fd) != 0))
        code = write_error(b, name, errno, err);
    if (close(fd) != 0 && code == ERR_NONE)
        code = write_error(b, name, errno, err);
    return code;
}

enum err_code bodies_write(struct bodies *b, const struct id *id,
                           const struct body *body, struct err *err)
{
    char part[PART_NAME_LEN];
    part_name(id, part);
    enum err_code code = write_part(b, part, body, err);
    if (code == ERR_NONE && renameat(b->fd, part, b->fd, id->text) != 0)
        code = write_error(b, id->text, errno, err);
    if (code != ERR_NONE) {
        (void)unlinkat(b->fd, part, 0);
        return code;
    }
    if (fsync(b->fd) == 0)
        return ERR_NONE;
    code = write_error(b, id->text, errno, err);
    bodies_remove(b, id);
    return code;
}

/* ---- read, remove ---- */

static enum err_code open_error(const struct bodies *b, const struct id *id,
                                int reason, struct err *err)
{
    if (reason == ELOOP || reason == ENXIO || reason == ENODEV)
        return err_set(err, ERR_INVALID, "%s/%s is not a file of ours", b->path,
                       id->text);
    return err_system(err, reason, "cannot open %s/%s", b->path, id->text);
}

enum err_code bodies_read(struct bodies *b, const struct id *id,
                          uint64_t size_bytes, struct body **out,
                          struct err *err)
{
    struct stat st;
    /* Not for ever, should somebody have put a pipe there. */
    int fd =
        openat(b->fd, id->text, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return open_error(b, id, errno, err);
    enum err_code code = ERR_NONE;
    if (fstat(fd, &st) != 0)
        code = err_system(err, errno, "cannot read %s/%s", b->path, id->text);
    else if (!S_ISREG(st.st_mode))
        code = err_set(err, ERR_INVALID, "%s/%s is not a file of ours", b->path,
                       id->text);
    else if ((uint64_t)st.st_size != size_bytes)
        code = err_set(
            err, ERR_INVALID, "%s/%s is damaged: %lld bytes, not %llu", b->path,
            id->text, (long long)st.st_size, (unsigned long long)size_bytes);
    if (code == ERR_NONE)
        *out = body_from_file(fd, size_bytes);
    else
        (void)close(fd);
    return code;
}

void bodies_remove(struct bodies *b, const struct id *id)
{
    (void)unlinkat(b->fd, id->text, 0);
}

/* ---- sweep ---- */

/* A name of ours, whole or in part. */
static bool parse_name(const char *name, struct id *id, bool *part)
{
    struct str text = str_from(name);
    *part = str_ends_nocase(text, STR(PART));
    if (*part)
        text.len -= sizeof(PART) - 1;
    return id_parse(text, id);
}

static void see_stranger(struct bodies_strangers *strangers, const char *name)
{
    if (strangers == NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return;
    (void)snprintf(strangers->example, sizeof(strangers->example), "%s", name);
    strangers->count++;
}

enum err_code bodies_each(struct bodies *b, bodies_visit_fn visit, void *ctx,
                          struct bodies_strangers *strangers, struct err *err)
{
    const struct dirent *entry;
    DIR *dir = NULL;
    if (strangers != NULL)
        *strangers = (struct bodies_strangers){.count = 0};
    int fd = openat(b->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        dir = fdopendir(fd);
    if (dir == NULL) {
        enum err_code code = err_system(err, errno, "cannot read %s", b->path);
        if (fd >= 0)
            (void)close(fd);
        return code;
    }
    errno = 0;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): a DIR of our own */
    while ((entry = readdir(dir)) != NULL) {
        struct id id;
        bool part;
        if (parse_name(entry->d_name, &id, &part))
            visit(ctx, &id, part);
        else
            see_stranger(strangers, entry->d_name);
        errno = 0;
    }
    int reason = errno;
    (void)closedir(dir);
    if (reason != 0)
        return err_system(err, reason, "cannot read %s", b->path);
    return ERR_NONE;
}

static void see_any(void *ctx, const struct id *id, bool part)
{
    (void)id;
    (void)part;
    *(bool *)ctx = true;
}

enum err_code bodies_any(const char *directory, bool *any, struct err *err)
{
    struct bodies b = {.fd =
                           open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    *any = false;
    if (b.fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return ERR_NONE;
    if (b.fd < 0)
        return err_system(err, errno, "cannot open the directory %s",
                          directory);
    b.path = mem_strdup(str_from(directory));
    enum err_code code = bodies_each(&b, see_any, any, NULL, err);
    mem_free(b.path);
    (void)close(b.fd);
    return code;
}

struct sweep {
    struct bodies *b;
    bool (*known)(void *ctx, const struct id *id);
    void *ctx;
    size_t removed;
};

static void sweep_one(void *ctx, const struct id *id, bool part)
{
    struct sweep *sweep = ctx;
    char name[PART_NAME_LEN];
    part_name(id, name);
    if (!part && sweep->known(sweep->ctx, id))
        return;
    if (unlinkat(sweep->b->fd, part ? name : id->text, 0) == 0)
        sweep->removed++;
}

enum err_code bodies_sweep(struct bodies *b,
                           bool (*known)(void *ctx, const struct id *id),
                           void *ctx, struct bodies_swept *swept,
                           struct err *err)
{
    struct sweep sweep = {b, known, ctx, 0};
    enum err_code code =
        bodies_each(b, sweep_one, &sweep, &swept->strangers, err);
    swept->removed = sweep.removed;
    return code;
}

#include "queue/store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/str.h"

#define MAGIC          "SQLite format 3" /* and its NUL */
#define LOG_HEADER_LEN 32
#define LOG_SALT       16 /* in the header */
#define LOG_SALT_LEN   8
#define LOG_FRAME_LEN  24 /* before each page */
#define LOG_FRAME_SALT 8
#define LOG_PIECE      (256U << 10)

bool store_file_is_full(int errno_value)
{
    return errno_value == ENOSPC || errno_value == EDQUOT ||
           errno_value == EFBIG;
}

static char *joined(const char *a, const char *b)
{
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);
    char *out = mem_alloc(a_len + b_len + 1);
    memcpy(out, a, a_len);
    memcpy(out + a_len, b, b_len + 1);
    return out;
}

/* "a/b" → "a", "b" → ".", "/b" → "/". */
static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return mem_strdup(STR("."));
    if (slash == path)
        return mem_strdup(STR("/"));
    return mem_strdup(str_of(path, (size_t)(slash - path)));
}

enum err_code store_file_sync_parent(const char *path, struct err *err)
{
    enum err_code code = ERR_NONE;
    char *parent = parent_of(path);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        code = err_system(err, errno, "cannot sync the directory %s", parent);
    if (fd >= 0)
        (void)close(fd);
    mem_free(parent);
    return code;
}

/* ---- permissions, lock ---- */

static enum err_code cannot_open(const char *path, int reason, struct err *err)
{
    char *parent = parent_of(path);
    enum err_code code;
    if (reason == ENOENT && access(parent, F_OK) != 0)
        code = err_set(err, ERR_NOT_FOUND,
                       "the directory %s of the spool %s does not exist: make "
                       "it, for example with install -d -m 700 %s",
                       parent, path, parent);
    else if (reason == ENOENT)
        code = err_set(err, ERR_NOT_FOUND, "there is no spool %s", path);
    else if (reason == EACCES || reason == EPERM || reason == EROFS)
        code = err_set(err, ERR_DENIED,
                       "the spool %s cannot be opened for writing (%s): give "
                       "it and its directory to the user that runs the daemon",
                       path,
                       reason == EROFS ? "its file system is read-only"
                                       : "permission denied");
    else if (store_file_is_full(reason))
        code = err_set(err, ERR_FULL,
                       "the spool %s cannot be made: the disk is full", path);
    else
        code = err_system(err, reason, "cannot open the spool %s", path);
    mem_free(parent);
    return code;
}

static enum err_code check_private(const char *path, const struct stat *st,
                                   struct err *err)
{
    if (!S_ISREG(st->st_mode))
        return err_set(err, ERR_INVALID,
                       "%s is not a file: set spool.path to one", path);
    if ((st->st_mode & 077) == 0)
        return ERR_NONE;
    return err_set(err, ERR_DENIED,
                   "%s can be read or written by others (mode %04o): look who "
                   "did, then say chmod 600 %s",
                   path, st->st_mode & 07777, path);
}

static enum err_code lock(int fd, const char *path, struct err *err)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return ERR_NONE;
    if (errno != EWOULDBLOCK)
        return err_system(err, errno, "cannot lock the spool %s", path);
    return err_set(err, ERR_EXISTS,
                   "the spool %s is in use by another process: stop the other "
                   "daemon, or give this one a spool.path of its own",
                   path);
}

/* ---- what is in the files ---- */

static enum err_code check_magic(const struct store_file *file, struct err *err)
{
    char start[sizeof(MAGIC)] = "";
    ssize_t n = pread(file->fd, start, sizeof(start), 0);
    if (n < 0)
        return err_system(err, errno, "cannot read the spool %s", file->path);
    if ((size_t)n == sizeof(start) && memcmp(start, MAGIC, sizeof(start)) == 0)
        return ERR_NONE;
    return err_set(err, ERR_INVALID,
                   "%s is not a spool, or is damaged: its first bytes are not "
                   "a database's; set spool.path to another file, or put a "
                   "copy back",
                   file->path);
}

static uint32_t word_at(const unsigned char *p, bool big)
{
    if (big)
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
               (uint32_t)p[2] << 8 | p[3];
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 |
           p[0];
}

/* https://www.sqlite.org/fileformat2.html, section 4.1. */
static bool log_header_is_good(const unsigned char *header)
{
    uint32_t magic = word_at(header, true);
    uint32_t s0 = 0;
    uint32_t s1 = 0;
    if ((magic & ~1U) != 0x377f0682U)
        return false;
    for (size_t i = 0; i < 24; i += 8) {
        s0 += word_at(header + i, (magic & 1) != 0) + s1;
        s1 += word_at(header + i + 4, (magic & 1) != 0) + s0;
    }
    return s0 == word_at(header + 24, true) && s1 == word_at(header + 28, true);
}

static enum err_code look_at_log(struct store_file *file, struct err *err)
{
    unsigned char header[LOG_HEADER_LEN];
    struct stat st;
    enum err_code code;
    ssize_t n = -1;
    file->log = STORE_LOG_MISSING;
    int fd = open(file->log_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return ERR_NONE;
    if (fd < 0)
        return cannot_open(file->log_path, errno, err);
    if (fstat(fd, &st) == 0)
        n = pread(fd, header, sizeof(header), 0);
    if (n < 0)
        code = err_system(err, errno, "cannot read %s", file->log_path);
    else
        code = check_private(file->log_path, &st, err);
    (void)close(fd);
    if (code == ERR_NONE && n > 0)
        file->log = n == LOG_HEADER_LEN && log_header_is_good(header)
                        ? STORE_LOG_GOOD
                        : STORE_LOG_BROKEN;
    return code;
}

static enum err_code look_inside(struct store_file *file, struct err *err)
{
    struct stat st;
    enum err_code code = look_at_log(file, err);
    if (code != ERR_NONE)
        return code;
    if (fstat(file->fd, &st) != 0)
        return err_system(err, errno, "cannot read the spool %s", file->path);
    code = check_private(file->path, &st, err);
    if (code != ERR_NONE)
        return code;
    file->is_new = st.st_size == 0;
    if (file->is_new && file->log != STORE_LOG_MISSING)
        return err_set(err, ERR_INVALID,
                       "the spool %s is %s but its log %s is not: put the "
                       "file back that belongs to it",
                       file->path, file->made ? "missing" : "empty",
                       file->log_path);
    if (file->is_new)
        return store_file_sync_parent(file->path, err);
    /* With a rollback journal the first page is still to be put back: making
     * a spool was interrupted. */
    char *journal = joined(file->path, "-journal");
    bool interrupted = access(journal, F_OK) == 0;
    mem_free(journal);
    return interrupted ? ERR_NONE : check_magic(file, err);
}

static enum err_code name_files(struct store_file *file, const char *path,
                                struct err *err)
{
    char *real = realpath(path, NULL);
    if (real == NULL)
        return err_system(err, errno, "cannot find the spool %s", path);
    file->path = mem_strdup(str_from(real));
    file->log_path = joined(real, "-wal");
    free(real);
    return ERR_NONE;
}

/* A file of ours must be private from its first moment on. */
static int open_file(const char *path, bool create, bool *made)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0 || errno != ENOENT || !create)
        return fd;
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return open(path, O_RDWR | O_CLOEXEC); /* another one was first */
    *made = fd >= 0;
    if (fd >= 0)
        (void)fchmod(fd, 0600); /* a umask may have taken our own rights */
    return fd;
}

enum err_code store_file_open(struct store_file *file, const char *path,
                              bool create, struct err *err)
{
    *file = (struct store_file){.fd = -1};
    file->fd = open_file(path, create, &file->made);
    if (file->fd < 0)
        return cannot_open(path, errno, err);
    enum err_code code = lock(file->fd, path, err);
    if (code == ERR_NONE)
        code = name_files(file, path, err);
    if (code == ERR_NONE)
        code = look_inside(file, err);
    if (code != ERR_NONE) {
        store_file_unmake(file);
        store_file_close(file);
    }
    return code;
}

void store_file_unmake(struct store_file *file)
{
    struct stat st;
    if (file->made && file->path != NULL && fstat(file->fd, &st) == 0 &&
        st.st_size == 0)
        (void)unlink(file->path);
}

void store_file_close(struct store_file *file)
{
    if (file->fd >= 0)
        (void)close(file->fd);
    file->fd = -1;
    mem_free(file->path);
    mem_free(file->log_path);
    file->path = NULL;
    file->log_path = NULL;
}

enum err_code store_file_size(const struct store_file *file,
                              int64_t *size_bytes, struct err *err)
{
    struct stat st;
    if (fstat(file->fd, &st) != 0)
        return err_system(err, errno, "cannot read the spool %s", file->path);
    *size_bytes = st.st_size;
    return ERR_NONE;
}

/* ---- the log ---- */

/* From first on, of count; the others are in the way of nobody. */
struct pages {
    int64_t first;
    int64_t count;
    int64_t seen;
    bool *is_seen;
};

static void see_page(struct pages *pages, int64_t page)
{
    if (page < pages->first || page >= pages->first + pages->count ||
        pages->is_seen[page - pages->first])
        return;
    pages->is_seen[page - pages->first] = true;
    pages->seen++;
}

/* Frames of the log's last life: those that have its salt. */
static bool see_frames(int fd, int64_t page_bytes, struct pages *pages)
{
    unsigned char log[LOG_HEADER_LEN];
    unsigned char frame[LOG_FRAME_LEN];
    off_t at = LOG_HEADER_LEN;
    ssize_t n = pread(fd, log, sizeof(log), 0);
    while (n > 0) {
        n = pread(fd, frame, sizeof(frame), at);
        if (n != LOG_FRAME_LEN ||
            memcmp(frame + LOG_FRAME_SALT, log + LOG_SALT, LOG_SALT_LEN) != 0)
            break;
        see_page(pages, word_at(frame, true));
        at += LOG_FRAME_LEN + page_bytes;
    }
    return n >= 0;
}

enum err_code store_file_log_has(const struct store_file *file,
                                 int64_t page_bytes, int64_t first,
                                 int64_t last, bool *has, struct err *err)
{
    struct pages pages = {.first = first, .count = last - first + 1};
    enum err_code code = ERR_NONE;
    struct stat st;
    int fd = open(file->log_path, O_RDONLY | O_CLOEXEC);
    *has = false;
    if (fd < 0 && errno == ENOENT)
        return ERR_NONE;
    if (fd < 0 || fstat(fd, &st) != 0)
        code = err_system(err, errno, "cannot read %s", file->log_path);
    else if (pages.count <= st.st_size / page_bytes) {
        pages.is_seen = mem_calloc((size_t)pages.count, sizeof(bool));
        if (!see_frames(fd, page_bytes, &pages))
            code = err_system(err, errno, "cannot read %s", file->log_path);
        *has = pages.seen == pages.count;
        mem_free(pages.is_seen);
    }
    if (fd >= 0)
        (void)close(fd);
    return code;
}

static bool rewrite(int fd)
{
    char *piece = mem_alloc(LOG_PIECE);
    bool good = true;
    off_t at = 0;
    ssize_t n;
    while (good && (n = pread(fd, piece, LOG_PIECE, at)) != 0) {
        good = n > 0 && pwrite(fd, piece, (size_t)n, at) == n;
        at += n;
    }
    mem_free(piece);
    return good && fsync(fd) == 0;
}

enum err_code store_file_settle_log(const struct store_file *file,
                                    struct err *err)
{
    if (file->log != STORE_LOG_GOOD)
        return ERR_NONE;
    enum err_code code = ERR_NONE;
    int fd = open(file->log_path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return cannot_open(file->log_path, errno, err);
    if (!rewrite(fd))
        code = err_system(err, errno, "cannot write %s", file->log_path);
    (void)close(fd);
    return code;
}

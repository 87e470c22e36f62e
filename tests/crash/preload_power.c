/*
 * Preloaded into a program: keeps a second copy of a directory that has only
 * what a loss of power would leave.
 *
 *   POWER_LIVE=DIRECTORY    the program's; a path without symbolic links
 *   POWER_SHADOW=DIRECTORY  the copy, made by power.adopt() of power.py:
 *       inodes/NUMBER       what is durable of the file of that number
 *       tree/...            what is durable of the names: links to those
 *   POWER_IGNORE_SYNC=1     nothing becomes durable, as if nobody had synced
 *
 * A file's bytes and size become durable when it is synced (or written with
 * O_SYNC or O_DSYNC), and nothing else makes them so. A sync that fails loses
 * what it should have written: as on Linux, the next one knows nothing of it,
 * although who reads sees it. A directory's names,
 * new, gone and renamed, become durable when the directory is synced, and not
 * when a file in it is: this is stricter than most file systems. A process
 * that opens a file which others wrote knows nothing of it, and copies all of
 * it at its first sync.
 *
 * sync(), syncfs() and sync_file_range() make nothing durable. Shared writable
 * mappings, truncate(), copy_file_range() and sendfile() into such files end
 * the program with a message. stdio is not seen: nothing of the spool may be
 * written through it. Directories may be made and removed but not renamed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/crash/next.h"

#define FDS_MAX    65536
#define RANGES_MAX 256
#define COPY_BYTES (64U << 10)

struct range {
    off_t from;
    off_t to;
};

/* An inode that is open in this process, and what of it is not durable. */
struct file {
    struct file *next;
    ino_t number;
    unsigned opened;
    size_t range_count;
    struct range ranges[RANGES_MAX];
};

static struct {
    pthread_mutex_t lock;
    const char *live;
    const char *shadow;
    dev_t device;
    bool ignore_sync;
    struct file *files;
    struct file *by_fd[FDS_MAX];
    bool synced_writes[FDS_MAX]; /* O_SYNC, O_DSYNC */
} power = {.lock = PTHREAD_MUTEX_INITIALIZER};

__attribute__((constructor)) static void start(void)
{
    power.live = getenv("POWER_LIVE");
    power.shadow = getenv("POWER_SHADOW");
    power.ignore_sync = getenv("POWER_IGNORE_SYNC") != NULL;
    struct stat st;
    if (power.shadow == NULL || power.live == NULL ||
        stat(power.live, &st) != 0)
        power.live = NULL;
    else
        power.device = st.st_dev;
}

static _Noreturn void give_up(const char *what)
{
    int number = errno;
    (void)dprintf(STDERR_FILENO, "preload_power: %s (errno %d)\n", what,
                  number);
    _exit(70);
}

__attribute__((format(printf, 2, 3))) static void
path_in(char path[NEXT_PATH_MAX], const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = vsnprintf(path, NEXT_PATH_MAX, format, list);
    va_end(list);
    if (n < 0 || n >= NEXT_PATH_MAX)
        give_up("a path is too long");
}

static void inode_path(char path[NEXT_PATH_MAX], ino_t number)
{
    path_in(path, "%s/inodes/%llu", power.shadow, (unsigned long long)number);
}

static struct file *file_of(int fd)
{
    return fd >= 0 && fd < FDS_MAX ? power.by_fd[fd] : NULL;
}

/* ---- what is not durable yet ---- */

static void add_range(struct file *f, off_t from, off_t to)
{
    for (size_t i = 0; i < f->range_count; i++) {
        struct range *r = &f->ranges[i];
        if (from <= r->to && to >= r->from) {
            r->from = from < r->from ? from : r->from;
            r->to = to > r->to ? to : r->to;
            return;
        }
    }
    if (f->range_count < RANGES_MAX) {
        f->ranges[f->range_count++] = (struct range){from, to};
        return;
    }
    for (size_t i = 0; i < f->range_count; i++) {
        from = f->ranges[i].from < from ? f->ranges[i].from : from;
        to = f->ranges[i].to > to ? f->ranges[i].to : to;
    }
    f->ranges[0] = (struct range){from, to};
    f->range_count = 1;
}

static void copy_range(int from, int to, const struct range *r, off_t size)
{
    char bytes[COPY_BYTES];
    off_t end = r->to < size ? r->to : size;
    for (off_t at = r->from; at < end;) {
        size_t want = sizeof(bytes);
        if ((off_t)want > end - at)
            want = (size_t)(end - at);
        ssize_t n = pread(from, bytes, want, at);
        if (n == 0)
            return;
        if (n < 0 || next_calls()->pwrite(to, bytes, (size_t)n, at) != n)
            give_up("cannot copy what was synced");
        at += n;
    }
}

/* A descriptor to read from: closing another one would cost fcntl locks. */
static int readable(int fd)
{
    char path[64];
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_WRONLY)
        return fd;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return next_calls()->open(path, O_RDONLY | O_CLOEXEC);
}

static void make_durable(struct file *f, int fd)
{
    char path[NEXT_PATH_MAX];
    struct stat st;
    inode_path(path, f->number);
    int from = readable(fd);
    int to = next_calls()->open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (from < 0 || to < 0 || fstat(fd, &st) != 0)
        give_up("cannot open what was synced");
    for (size_t i = 0; i < f->range_count; i++)
        copy_range(from, to, &f->ranges[i], st.st_size);
    f->range_count = 0;
    if (next_calls()->ftruncate(to, st.st_size) != 0)
        give_up("cannot set the size of what was synced");
    if (from != fd)
        (void)next_calls()->close(from);
    (void)next_calls()->close(to);
}

/* ---- names ---- */

static void make_name_durable(const char *name, ino_t number)
{
    char inode[NEXT_PATH_MAX];
    char other[NEXT_PATH_MAX];
    struct stat of_inode;
    struct stat of_name;
    inode_path(inode, number);
    int fd = next_calls()->open(inode, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || fstat(fd, &of_inode) != 0)
        give_up("cannot make a file whose name was synced");
    (void)next_calls()->close(fd);
    if (lstat(name, &of_name) == 0 && of_name.st_ino == of_inode.st_ino)
        return;
    path_in(other, "%s/inodes/name", power.shadow);
    (void)next_calls()->unlink(other);
    if (link(inode, other) != 0 || next_calls()->rename(other, name) != 0)
        give_up("cannot make a name that was synced");
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static void add_names(const char *live, const char *tree)
{
    char name[NEXT_PATH_MAX];
    struct dirent *entry;
    DIR *d = opendir(live);
    if (d == NULL)
        give_up("cannot read the directory that was synced");
    while ((entry = readdir(d)) != NULL) {
        struct stat st;
        if (is_dots(entry->d_name) ||
            fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        path_in(name, "%s/%s", tree, entry->d_name);
        if (S_ISREG(st.st_mode))
            make_name_durable(name, st.st_ino);
        else if (S_ISDIR(st.st_mode) && mkdir(name, 0700) != 0 &&
                 errno != EEXIST)
            give_up("cannot make a directory whose name was synced");
    }
    (void)closedir(d);
}

static void drop_names(const char *live, const char *tree)
{
    char name[NEXT_PATH_MAX];
    struct dirent *entry;
    struct stat st;
    DIR *d = opendir(tree);
    if (d == NULL)
        give_up("no directory for the names: its own name was never synced");
    while ((entry = readdir(d)) != NULL) {
        path_in(name, "%s/%s", live, entry->d_name);
        if (is_dots(entry->d_name) || lstat(name, &st) == 0)
            continue;
        path_in(name, "%s/%s", tree, entry->d_name);
        if (next_calls()->unlink(name) != 0 && rmdir(name) != 0)
            give_up("cannot remove a name whose removal was synced");
    }
    (void)closedir(d);
}

static void sync_directory(int fd)
{
    char live[NEXT_PATH_MAX];
    char tree[NEXT_PATH_MAX];
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISDIR(st.st_mode) ||
        !next_below(fd, power.live, live))
        return;
    path_in(tree, "%s/tree%s", power.shadow, live + strlen(power.live));
    /* Synced before its own name is: nothing that could be found again. */
    if (lstat(tree, &st) != 0)
        return;
    add_names(live, tree);
    drop_names(live, tree);
}

static void on_sync(int fd)
{
    if (power.live == NULL || power.ignore_sync)
        return;
    (void)pthread_mutex_lock(&power.lock);
    if (file_of(fd) != NULL)
        make_durable(file_of(fd), fd);
    else
        sync_directory(fd);
    (void)pthread_mutex_unlock(&power.lock);
}

static void on_failed_sync(int fd)
{
    int number = errno;
    (void)pthread_mutex_lock(&power.lock);
    if (file_of(fd) != NULL)
        file_of(fd)->range_count = 0;
    (void)pthread_mutex_unlock(&power.lock);
    errno = number;
}

static int synced(int fd, int status)
{
    if (status == 0)
        on_sync(fd);
    else
        on_failed_sync(fd);
    return status;
}

PRELOADED int fsync(int fd)
{
    return synced(fd, next_calls()->fsync(fd));
}

PRELOADED int fdatasync(int fd)
{
    return synced(fd, next_calls()->fdatasync(fd));
}

/* ---- opening and closing ---- */

static struct file *find_file(ino_t number)
{
    struct file *f = power.files;
    while (f != NULL && f->number != number)
        f = f->next;
    return f;
}

/* is_new: the number may have been another file's before. */
static void remember(int fd, int flags, bool is_new)
{
    char path[NEXT_PATH_MAX];
    struct stat st;
    if (fd >= FDS_MAX || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
        !next_below(fd, power.live, path))
        return;
    if (is_new) {
        inode_path(path, st.st_ino);
        (void)next_calls()->unlink(path);
    }
    struct file *f = find_file(st.st_ino);
    if (f == NULL) {
        f = calloc(1, sizeof(*f));
        if (f == NULL)
            give_up("no memory");
        f->number = st.st_ino;
        f->next = power.files;
        power.files = f;
        if (!is_new)
            add_range(f, 0, INT64_MAX);
    }
    if ((flags & O_TRUNC) != 0)
        add_range(f, 0, INT64_MAX);
    f->opened++;
    power.by_fd[fd] = f;
    power.synced_writes[fd] = (flags & (O_SYNC | O_DSYNC)) != 0;
}

static void forget(int fd)
{
    struct file *f = file_of(fd);
    if (f == NULL)
        return;
    power.by_fd[fd] = NULL;
    if (--f->opened > 0)
        return;
    struct file **at = &power.files;
    while (*at != f)
        at = &(*at)->next;
    *at = f->next;
    free(f);
}

static int open_at(int at, const char *path, int flags, mode_t mode)
{
    struct stat st;
    if (power.live == NULL)
        return next_calls()->openat(at, path, flags, mode);
    (void)pthread_mutex_lock(&power.lock);
    bool is_new = (flags & O_CREAT) != 0 && fstatat(at, path, &st, 0) != 0;
    int fd = next_calls()->openat(at, path, flags, mode);
    int number = errno;
    if (fd >= 0 && (flags & O_DIRECTORY) == 0)
        remember(fd, flags, is_new);
    (void)pthread_mutex_unlock(&power.lock);
    errno = number;
    return fd;
}

static mode_t mode_of(int flags, va_list list)
{
    return (flags & O_CREAT) != 0 ? va_arg(list, mode_t) : 0;
}

PRELOADED int open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return open_at(AT_FDCWD, path, flags, mode);
}

PRELOADED int open64(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return open_at(AT_FDCWD, path, flags, mode);
}

PRELOADED int openat(int at, const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return open_at(at, path, flags, mode);
}

PRELOADED int openat64(int at, const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return open_at(at, path, flags, mode);
}

PRELOADED int close(int fd)
{
    if (power.live != NULL) {
        (void)pthread_mutex_lock(&power.lock);
        forget(fd);
        (void)pthread_mutex_unlock(&power.lock);
    }
    return next_calls()->close(fd);
}

/* ---- writing ---- */

/* After the call: what a sync before it took with it need not be all of it. */
static void changed(int fd, off_t from, off_t to)
{
    int number = errno;
    (void)pthread_mutex_lock(&power.lock);
    struct file *f = file_of(fd);
    if (f != NULL && from < to) {
        add_range(f, from, to);
        if (power.synced_writes[fd] && !power.ignore_sync)
            make_durable(f, fd);
    }
    (void)pthread_mutex_unlock(&power.lock);
    errno = number;
}

static void appended(int fd, ssize_t n)
{
    if (n <= 0 || file_of(fd) == NULL)
        return;
    off_t end = lseek(fd, 0, SEEK_CUR);
    changed(fd, end - n, end);
}

PRELOADED ssize_t write(int fd, const void *data, size_t len)
{
    ssize_t n = next_calls()->write(fd, data, len);
    appended(fd, n);
    return n;
}

PRELOADED ssize_t writev(int fd, const struct iovec *parts, int count)
{
    ssize_t n = next_calls()->writev(fd, parts, count);
    appended(fd, n);
    return n;
}

PRELOADED ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    ssize_t n = next_calls()->pwrite(fd, data, len, at);
    changed(fd, at, at + n);
    return n;
}

PRELOADED ssize_t pwrite64(int fd, const void *data, size_t len, off_t at)
{
    return pwrite(fd, data, len, at);
}

PRELOADED ssize_t pwritev(int fd, const struct iovec *parts, int count,
                          off_t at)
{
    ssize_t n = next_calls()->pwritev(fd, parts, count, at);
    changed(fd, at, at + n);
    return n;
}

PRELOADED ssize_t pwritev64(int fd, const struct iovec *parts, int count,
                            off_t at)
{
    return pwritev(fd, parts, count, at);
}

PRELOADED int ftruncate(int fd, off_t size)
{
    int status = next_calls()->ftruncate(fd, size);
    if (status == 0)
        changed(fd, size, INT64_MAX);
    return status;
}

PRELOADED int ftruncate64(int fd, off_t size)
{
    return ftruncate(fd, size);
}

PRELOADED int posix_fallocate(int fd, off_t at, off_t len)
{
    int status = next_calls()->posix_fallocate(fd, at, len);
    if (status == 0)
        changed(fd, at, at + len);
    return status;
}

PRELOADED int posix_fallocate64(int fd, off_t at, off_t len)
{
    return posix_fallocate(fd, at, len);
}

/* ---- removing: what nobody can find any more needs no copy ---- */

PRELOADED int unlinkat(int at, const char *path, int flags)
{
    char inode[NEXT_PATH_MAX];
    struct stat st;
    if (power.live == NULL)
        return next_calls()->unlinkat(at, path, flags);
    (void)pthread_mutex_lock(&power.lock);
    bool last = fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                st.st_dev == power.device && S_ISREG(st.st_mode) &&
                st.st_nlink == 1;
    int status = next_calls()->unlinkat(at, path, flags);
    int number = errno;
    if (status == 0 && last && find_file(st.st_ino) == NULL) {
        inode_path(inode, st.st_ino);
        (void)next_calls()->unlink(inode);
    }
    (void)pthread_mutex_unlock(&power.lock);
    errno = number;
    return status;
}

PRELOADED int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

/* ---- what cannot be followed ---- */

PRELOADED void *mmap(void *wanted, size_t len, int access, int flags, int fd,
                     off_t at)
{
    if ((flags & MAP_SHARED) != 0 && (access & PROT_WRITE) != 0 &&
        file_of(fd) != NULL)
        give_up("a shared writable mapping cannot be followed");
    return next_calls()->mmap(wanted, len, access, flags, fd, at);
}

PRELOADED void *mmap64(void *wanted, size_t len, int access, int flags, int fd,
                       off_t at)
{
    return mmap(wanted, len, access, flags, fd, at);
}

PRELOADED int truncate(const char *path, off_t size)
{
    size_t len = power.live != NULL ? strlen(power.live) : 0;
    if (len > 0 && strncmp(path, power.live, len) == 0)
        give_up("truncate() cannot be followed");
    return next_calls()->truncate(path, size);
}

PRELOADED ssize_t copy_file_range(int in, off_t *in_at, int out, off_t *out_at,
                                  size_t len, unsigned flags)
{
    if (file_of(out) != NULL)
        give_up("copy_file_range() cannot be followed");
    return next_calls()->copy_file_range(in, in_at, out, out_at, len, flags);
}

PRELOADED ssize_t sendfile(int out, int in, off_t *at, size_t len)
{
    if (file_of(out) != NULL)
        give_up("sendfile() cannot be followed");
    return next_calls()->sendfile(out, in, at, len);
}

#ifndef TESTS_CRASH_NEXT_H
#define TESTS_CRASH_NEXT_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

/*
 * For libraries that are preloaded: the calls as they are behind us, in the
 * next library that has them. Threads: any. Calls whose name ends in 64 are
 * the same ones, because off_t has 64 bits.
 */
_Static_assert(sizeof(off_t) == 8, "off_t has 64 bits");

/* What the program under test gets to see of the library. */
#define PRELOADED __attribute__((visibility("default")))

struct next_calls {
    int (*open)(const char *path, int flags, ...);
    int (*openat)(int at, const char *path, int flags, ...);
    int (*close)(int fd);
    ssize_t (*write)(int fd, const void *data, size_t len);
    ssize_t (*writev)(int fd, const struct iovec *parts, int count);
    ssize_t (*pwrite)(int fd, const void *data, size_t len, off_t at);
    ssize_t (*pwritev)(int fd, const struct iovec *parts, int count, off_t at);
    ssize_t (*send)(int fd, const void *data, size_t len, int flags);
    ssize_t (*sendto)(int fd, const void *data, size_t len, int flags,
                      const struct sockaddr *to, socklen_t to_len);
    ssize_t (*sendmsg)(int fd, const struct msghdr *message, int flags);
    int (*fsync)(int fd);
    int (*fdatasync)(int fd);
    int (*ftruncate)(int fd, off_t size);
    int (*posix_fallocate)(int fd, off_t at, off_t len);
    int (*rename)(const char *from, const char *to);
    int (*renameat)(int from_at, const char *from, int to_at, const char *to);
    int (*unlink)(const char *path);
    int (*unlinkat)(int at, const char *path, int flags);
    void *(*mmap)(void *wanted, size_t len, int access, int flags, int fd,
                  off_t at);
    int (*truncate)(const char *path, off_t size);
    ssize_t (*copy_file_range)(int in, off_t *in_at, int out, off_t *out_at,
                               size_t len, unsigned flags);
    ssize_t (*sendfile)(int out, int in, off_t *at, size_t len);
};

const struct next_calls *next_calls(void);

/*
 * Whether the open file has a name below directory, an absolute path without
 * symbolic links; its path is put into path then.
 */
#define NEXT_PATH_MAX 4096
int next_below(int fd, const char *directory, char path[NEXT_PATH_MAX]);

#endif

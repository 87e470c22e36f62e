/*
 * Preloaded into a program: a disk that fails, as long as a file exists.
 *
 *   FAIL_UNDER=DIRECTORY  which files; a path without symbolic links
 *   FAIL_SYNC=FILE        while FILE exists: fsync, fdatasync give EIO
 *   FAIL_WRITE=FILE       while FILE exists: writing gives ENOSPC
 *
 * What could not be synced is as a file system leaves it: seen by who reads,
 * and nobody knows whether it is on the disk.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/crash/next.h"

static bool fails(int fd, const char *variable)
{
    char path[NEXT_PATH_MAX];
    const char *under = getenv("FAIL_UNDER");
    const char *file = getenv(variable);
    int before = errno;
    bool now = under != NULL && file != NULL && access(file, F_OK) == 0 &&
               next_below(fd, under, path);
    errno = before;
    return now;
}

PRELOADED int fsync(int fd)
{
    if (!fails(fd, "FAIL_SYNC"))
        return next_calls()->fsync(fd);
    errno = EIO;
    return -1;
}

PRELOADED int fdatasync(int fd)
{
    if (!fails(fd, "FAIL_SYNC"))
        return next_calls()->fdatasync(fd);
    errno = EIO;
    return -1;
}

static ssize_t full(void)
{
    errno = ENOSPC;
    return -1;
}

PRELOADED ssize_t write(int fd, const void *data, size_t len)
{
    if (fails(fd, "FAIL_WRITE"))
        return full();
    return next_calls()->write(fd, data, len);
}

PRELOADED ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (fails(fd, "FAIL_WRITE"))
        return full();
    return next_calls()->writev(fd, parts, count);
}

PRELOADED ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    if (fails(fd, "FAIL_WRITE"))
        return full();
    return next_calls()->pwrite(fd, data, len, at);
}

PRELOADED ssize_t pwrite64(int fd, const void *data, size_t len, off_t at)
{
    return pwrite(fd, data, len, at);
}

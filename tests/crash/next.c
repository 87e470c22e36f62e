#include "tests/crash/next.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct next_calls calls;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void find(void *function, const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL)
        abort();
    memcpy(function, &found, sizeof(found));
}

static void find_all(void)
{
    find(&calls.open, "open");
    find(&calls.openat, "openat");
    find(&calls.close, "close");
    find(&calls.write, "write");
    find(&calls.writev, "writev");
    find(&calls.pwrite, "pwrite");
    find(&calls.pwritev, "pwritev");
    find(&calls.send, "send");
    find(&calls.sendto, "sendto");
    find(&calls.sendmsg, "sendmsg");
    find(&calls.fsync, "fsync");
    find(&calls.fdatasync, "fdatasync");
    find(&calls.ftruncate, "ftruncate");
    find(&calls.posix_fallocate, "posix_fallocate");
    find(&calls.rename, "rename");
    find(&calls.renameat, "renameat");
    find(&calls.unlink, "unlink");
    find(&calls.unlinkat, "unlinkat");
    find(&calls.mmap, "mmap");
    find(&calls.truncate, "truncate");
    find(&calls.copy_file_range, "copy_file_range");
    find(&calls.sendfile, "sendfile");
}

const struct next_calls *next_calls(void)
{
    (void)pthread_once(&once, find_all);
    return &calls;
}

int next_below(int fd, const char *directory, char path[NEXT_PATH_MAX])
{
    char link[64];
    size_t len = strlen(directory);
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, NEXT_PATH_MAX - 1);
    if (n < 0)
        return 0;
    path[n] = '\0';
    return strncmp(path, directory, len) == 0 &&
           (path[len] == '/' || path[len] == '\0');
}

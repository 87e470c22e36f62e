/*
 * Preloaded into a program: kills it with SIGKILL at a chosen call.
 *
 *   CRASH_AT=KIND:N[:WHEN]   at the N-th call of that kind, counted from 1
 *     KIND  write    write, writev, pwrite, pwritev on regular files
 *           sync     fsync, fdatasync
 *           send     send, sendto, sendmsg, write, writev on sockets
 *           truncate rename unlink
 *     WHEN  before (the default), after it took effect, or, for write and
 *           send, half: in the middle of the bytes
 *   CRASH_PROGRAM=NAME       only in programs of that name (postriderd)
 *   CRASH_UNDER=DIRECTORY    files: only those whose path begins with it
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/crash/next.h"

enum kind {
    KIND_NONE,
    KIND_WRITE,
    KIND_SYNC,
    KIND_SEND,
    KIND_TRUNCATE,
    KIND_RENAME,
    KIND_UNLINK,
    KIND_COUNT,
};

enum when { WHEN_NOT_NOW, WHEN_BEFORE, WHEN_HALF, WHEN_AFTER };

static struct {
    enum kind kind;
    enum when when;
    long number;
    const char *under;
    atomic_long calls;
} plan;

static const char *const kind_names[KIND_COUNT] = {
    "", "write", "sync", "send", "truncate", "rename", "unlink",
};
static const char *const when_names[] = {"", "before", "half", "after"};

static _Noreturn void wrong(const char *text)
{
    (void)fprintf(stderr, "CRASH_AT: %s\n", text);
    _exit(70);
}

static void parse(const char *text)
{
    char kind[16];
    char when[16] = "before";
    if (sscanf(text, "%15[a-z]:%ld:%15[a-z]", kind, &plan.number, when) < 2 ||
        plan.number < 1)
        wrong(text);
    for (int i = 1; i < KIND_COUNT; i++)
        if (strcmp(kind, kind_names[i]) == 0)
            plan.kind = (enum kind)i;
    for (int i = WHEN_BEFORE; i <= WHEN_AFTER; i++)
        if (strcmp(when, when_names[i]) == 0)
            plan.when = (enum when)i;
    if (plan.kind == KIND_NONE || plan.when == WHEN_NOT_NOW)
        wrong(text);
}

__attribute__((constructor)) static void start(void)
{
    const char *text = getenv("CRASH_AT");
    const char *program = getenv("CRASH_PROGRAM");
    if (program == NULL)
        program = "postriderd";
    if (text == NULL || strcmp(program_invocation_short_name, program) != 0)
        return;
    plan.under = getenv("CRASH_UNDER");
    parse(text);
}

static _Noreturn void die(void)
{
    (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

/* Counts the call; dies, or says when it has to. */
static enum when meet(enum kind kind)
{
    if (kind != plan.kind ||
        atomic_fetch_add(&plan.calls, 1) + 1 != plan.number)
        return WHEN_NOT_NOW;
    if (plan.when == WHEN_BEFORE)
        die();
    return plan.when;
}

static void leave(enum when when)
{
    if (when != WHEN_NOT_NOW)
        die();
}

static bool is_ours(int fd)
{
    char path[NEXT_PATH_MAX];
    return plan.under == NULL || next_below(fd, plan.under, path);
}

static enum kind kind_of_write(int fd)
{
    struct stat st;
    if (plan.kind != KIND_WRITE && plan.kind != KIND_SEND)
        return KIND_NONE;
    if (fstat(fd, &st) != 0)
        return KIND_NONE;
    if (S_ISSOCK(st.st_mode))
        return KIND_SEND;
    if (S_ISREG(st.st_mode) && plan.kind == KIND_WRITE && is_ours(fd))
        return KIND_WRITE;
    return KIND_NONE;
}

static size_t cut(enum when when, size_t len)
{
    return when == WHEN_HALF ? len / 2 : len;
}

/* ---- bytes ---- */

PRELOADED ssize_t write(int fd, const void *data, size_t len)
{
    enum when when = meet(kind_of_write(fd));
    ssize_t n = next_calls()->write(fd, data, cut(when, len));
    leave(when);
    return n;
}

PRELOADED ssize_t writev(int fd, const struct iovec *parts, int count)
{
    enum when when = meet(kind_of_write(fd));
    if (when == WHEN_HALF && count > 0)
        (void)next_calls()->write(fd, parts[0].iov_base, parts[0].iov_len / 2);
    leave(when == WHEN_HALF ? when : WHEN_NOT_NOW);
    ssize_t n = next_calls()->writev(fd, parts, count);
    leave(when);
    return n;
}

PRELOADED ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
    enum when when = meet(kind_of_write(fd));
    ssize_t n = next_calls()->pwrite(fd, data, cut(when, len), at);
    leave(when);
    return n;
}

PRELOADED ssize_t pwrite64(int fd, const void *data, size_t len, off_t at)
{
    return pwrite(fd, data, len, at);
}

PRELOADED ssize_t pwritev(int fd, const struct iovec *parts, int count,
                          off_t at)
{
    enum when when = meet(kind_of_write(fd));
    if (when == WHEN_HALF && count > 0)
        (void)next_calls()->pwrite(fd, parts[0].iov_base, parts[0].iov_len / 2,
                                   at);
    leave(when == WHEN_HALF ? when : WHEN_NOT_NOW);
    ssize_t n = next_calls()->pwritev(fd, parts, count, at);
    leave(when);
    return n;
}

PRELOADED ssize_t pwritev64(int fd, const struct iovec *parts, int count,
                            off_t at)
{
    return pwritev(fd, parts, count, at);
}

PRELOADED ssize_t send(int fd, const void *data, size_t len, int flags)
{
    enum when when = meet(KIND_SEND);
    ssize_t n = next_calls()->send(fd, data, cut(when, len), flags);
    leave(when);
    return n;
}

/* How glibc declares the address: as any of its kinds. */
PRELOADED ssize_t sendto(int fd, const void *data, size_t len, int flags,
                         __CONST_SOCKADDR_ARG to, socklen_t to_len)
{
    enum when when = meet(KIND_SEND);
    ssize_t n = next_calls()->sendto(fd, data, cut(when, len), flags,
                                     to.__sockaddr__, to_len);
    leave(when);
    return n;
}

PRELOADED ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    enum when when = meet(KIND_SEND);
    ssize_t n = next_calls()->sendmsg(fd, message, flags);
    leave(when);
    return n;
}

/* ---- files ---- */

static enum kind kind_of(enum kind kind, int fd)
{
    return plan.kind == kind && is_ours(fd) ? kind : KIND_NONE;
}

PRELOADED int fsync(int fd)
{
    enum when when = meet(kind_of(KIND_SYNC, fd));
    int status = next_calls()->fsync(fd);
    leave(when);
    return status;
}

PRELOADED int fdatasync(int fd)
{
    enum when when = meet(kind_of(KIND_SYNC, fd));
    int status = next_calls()->fdatasync(fd);
    leave(when);
    return status;
}

PRELOADED int ftruncate(int fd, off_t size)
{
    enum when when = meet(kind_of(KIND_TRUNCATE, fd));
    int status = next_calls()->ftruncate(fd, size);
    leave(when);
    return status;
}

PRELOADED int ftruncate64(int fd, off_t size)
{
    return ftruncate(fd, size);
}

PRELOADED int rename(const char *from, const char *to)
{
    enum when when = meet(KIND_RENAME);
    int status = next_calls()->rename(from, to);
    leave(when);
    return status;
}

PRELOADED int renameat(int from_at, const char *from, int to_at, const char *to)
{
    enum when when = meet(KIND_RENAME);
    int status = next_calls()->renameat(from_at, from, to_at, to);
    leave(when);
    return status;
}

PRELOADED int unlink(const char *path)
{
    enum when when = meet(KIND_UNLINK);
    int status = next_calls()->unlink(path);
    leave(when);
    return status;
}

PRELOADED int unlinkat(int at, const char *path, int flags)
{
    enum when when = meet(KIND_UNLINK);
    int status = next_calls()->unlinkat(at, path, flags);
    leave(when);
    return status;
}

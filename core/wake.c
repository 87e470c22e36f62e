#include "core/wake.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/panic.h"

enum err_code wake_init(struct wake *w, struct err *err)
{
    w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->fd < 0)
        return err_system(err, errno, "cannot make an eventfd");
    return ERR_NONE;
}

void wake_fini(struct wake *w)
{
    if (w->fd >= 0)
        (void)close(w->fd);
    w->fd = -1;
}

void wake_raise(struct wake *w)
{
    const uint64_t one = 1;
    ssize_t n;
    do
        n = write(w->fd, &one, sizeof(one));
    while (n < 0 && errno == EINTR);
    /* EAGAIN: the counter is full, so the flag is raised. */
    PANIC_IF(n < 0 && errno != EAGAIN);
}

void wake_clear(struct wake *w)
{
    uint64_t count;
    ssize_t n;
    do
        n = read(w->fd, &count, sizeof(count));
    while (n < 0 && errno == EINTR);
    PANIC_IF(n < 0 && errno != EAGAIN);
}

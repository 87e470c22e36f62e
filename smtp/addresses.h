#ifndef SMTP_ADDRESSES_H
#define SMTP_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "core/err.h"
#include "core/wake.h"

/*
 * The addresses of one relay's host: looked up, kept for a while, and handed
 * out in turns. One object for all engines.
 *
 * A name is looked up on a thread of its own, one at a time, so that a DNS
 * server that hangs blocks nobody: such a thread is left behind, and what it
 * needs lives as long as it does. What was found is used for keep_ms, and for
 * another SMTP_ADDRESSES_OLD_MS while it is being looked up again; for as long
 * as it takes when that fails. A numeric host is its own only address.
 *
 * Each list starts at the next address. Those that failed lately come last;
 * how long lately is doubles with each failure in a row, from
 * SMTP_ADDRESS_SHUN_FIRST_MS to SMTP_ADDRESS_SHUN_LONGEST_MS.
 *
 * Threads: any may call any function. Blocking: a short lock at most.
 * Times are mono_ms of one clock.
 */
#define SMTP_ADDRESSES_MAX           16
#define SMTP_ADDRESS_TEXT_MAX        64
#define SMTP_ADDRESSES_KEEP_MS       30000
#define SMTP_ADDRESSES_OLD_MS        300000
#define SMTP_ADDRESSES_KEEP_ERROR_MS 5000
#define SMTP_ADDRESS_SHUN_FIRST_MS   10000
#define SMTP_ADDRESS_SHUN_LONGEST_MS 300000

/* Numeric, IPv6 without brackets. Further ones than the most are not used. */
struct smtp_address_list {
    size_t count;
    char texts[SMTP_ADDRESSES_MAX][SMTP_ADDRESS_TEXT_MAX];
};

struct smtp_addresses_options {
    const char *relay; /* its name, for on_stale; copied */
    const char *host;  /* copied */
    /*
     * Blocking, as long as it likes, on a thread of its own; must use nothing
     * that may be gone by then. ERR_NOT_FOUND when there is no such name;
     * ERR_NONE with an empty list counts as that. NULL: getaddrinfo(3).
     */
    enum err_code (*resolve)(void *ctx, const char *host,
                             struct smtp_address_list *out, struct err *err);
    void *ctx;             /* of resolve */
    int64_t keep_ms;       /* 0: SMTP_ADDRESSES_KEEP_MS */
    int64_t keep_error_ms; /* 0: SMTP_ADDRESSES_KEEP_ERROR_MS */
    /*
     * A lookup failed, and what was found before stays in use. On the lookup's
     * thread, without a lock, perhaps after smtp_addresses_destroy(): must use
     * its arguments only. May be NULL.
     */
    void (*on_stale)(const char *relay, const char *error);
};

struct smtp_addresses;

void smtp_addresses_create(struct smtp_addresses **out,
                           const struct smtp_addresses_options *options);

/* Nobody may wait. A lookup under way goes on. NULL is allowed. */
void smtp_addresses_destroy(struct smtp_addresses *a);

/* Who waits for a lookup. Zeroed but for wake, then never moved. */
struct smtp_addresses_wait {
    TAILQ_ENTRY(smtp_addresses_wait) next;
    struct wake *wake; /* raised when it is time to ask again */
    bool waiting;      /* guarded by the addresses' lock */
    uint64_t lookup;   /* waited for */
};

/*
 * ERR_NONE: out has at least one, in the order in which they are to be tried.
 * ERR_AGAIN: a lookup is under way and wait->wake will be raised; ask again
 * then, with the same wait, or call smtp_addresses_cancel(). (wait NULL: and
 * nobody will be told.) ERR_NOT_FOUND, or another with err: the lookup failed.
 */
MUST_CHECK enum err_code smtp_addresses_take(struct smtp_addresses *a,
                                             int64_t now_ms,
                                             struct smtp_addresses_wait *wait,
                                             struct smtp_address_list *out,
                                             struct err *err);

/* wait->wake is not touched any more. */
void smtp_addresses_cancel(struct smtp_addresses *a,
                           struct smtp_addresses_wait *wait);

/* Whether the relay could be used at this address, which it gave out. */
void smtp_addresses_tell(struct smtp_addresses *a, const char *address,
                         bool worked, int64_t now_ms);

#endif

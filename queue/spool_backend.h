#ifndef QUEUE_SPOOL_BACKEND_H
#define QUEUE_SPOOL_BACKEND_H

#include <stdatomic.h>

#include "core/mailbox.h"
#include "queue/spool.h"

/*
 * What a backend of the spool gives: this folder only. spool.c dispatches;
 * struct spool is the first member of a backend's own.
 */
struct spool_ops {
    const char *durability;
    void (*destroy)(struct spool *spool);
    void (*accept)(struct spool *spool, struct job *job, spool_accept_fn fn,
                   void *ctx);
    void (*claim)(struct spool *spool, struct spool_lane lane, size_t limit,
                  int64_t now_ms, spool_claim_fn fn, void *ctx);
    void (*settle)(struct spool *spool, struct claim *claim,
                   const struct settlement *settlement, spool_settle_fn fn,
                   void *ctx);
    void (*release)(struct spool *spool, struct claim *claim, int64_t due_ms,
                    struct str relay, struct str note);
    void (*mark)(struct spool *spool, struct claim *claim, struct str relay,
                 spool_mark_fn fn, void *ctx);
    void (*find)(struct spool *spool, const struct id *id, const char *client,
                 spool_status_fn fn, void *ctx);
    void (*cancel)(struct spool *spool, const struct id *id, const char *client,
                   spool_status_fn fn, void *ctx);
    void (*retry)(struct spool *spool, const struct id *id, spool_status_fn fn,
                  void *ctx);
    void (*drop)(struct spool *spool, const struct id *id, spool_status_fn fn,
                 void *ctx);
    void (*list)(struct spool *spool, const struct spool_filter *filter,
                 spool_list_fn fn, void *ctx);
    void (*watch)(struct spool *spool, const char *client,
                  struct spool_watch *watch);
    bool (*unwatch)(struct spool *spool, struct spool_watch *watch);
    void (*expire)(struct spool *spool, int64_t now_ms, size_t limit,
                   spool_expire_fn fn, void *ctx);
    void (*stats)(struct spool *spool, struct spool_stats *stats);
};

struct spool {
    const struct spool_ops *ops;
    void (*on_due)(void *ctx, struct spool_lane lane, int64_t due_ms);
    void *on_due_ctx;
    void (*on_room)(void *ctx);
    void *on_room_ctx;
    void (*on_disk)(void *ctx, const struct err *err);
    void *on_disk_ctx;
    struct mailbox_round round; /* for a backend that answers in groups */
    atomic_bool disk_fails;     /* see spool_may_send() */
};

void spool_init(struct spool *spool, const struct spool_ops *ops,
                const struct spool_options *options);

/* ERR_INVALID, and err says which, when one is out of range. */
MUST_CHECK enum err_code
spool_options_check(const struct spool_options *options, struct err *err);

#endif

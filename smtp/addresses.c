#include "smtp/addresses.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "core/mem.h"
#include "core/panic.h"
#include "core/thread.h"

struct address {
    char text[SMTP_ADDRESS_TEXT_MAX];
    unsigned failures; /* in a row */
    int64_t shun_until_ms;
};

struct smtp_addresses {
    char *relay;
    char *host;
    struct smtp_addresses_options options;
    bool is_numeric;

    struct mutex lock;  /* guards all below */
    unsigned refs;      /* its owner and the lookup under way */
    uint64_t asked;     /* lookups begun */
    uint64_t answered;  /* and ended */
    int64_t asked_ms;   /* when the last one began */
    int64_t found_ms;   /* when the last one that succeeded began */
    struct err failure; /* of the last one; ERR_NONE: it succeeded */
    struct address items[SMTP_ADDRESSES_MAX];
    size_t count;
    size_t turn;
    TAILQ_HEAD(, smtp_addresses_wait) waiting;
};

/* ---- getaddrinfo ---- */

static enum err_code explain_gai(int failed, const char *host, struct err *err)
{
    bool no_name = failed == EAI_NONAME || failed == EAI_NODATA;
    return err_set(err, no_name ? ERR_NOT_FOUND : ERR_SYSTEM,
                   "the name \"%.100s\" %s: %s: check the relay's host name "
                   "and this machine's DNS",
                   host, no_name ? "was not found" : "cannot be looked up",
                   gai_strerror(failed));
}

static bool has(const struct smtp_address_list *list, const char *text)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->texts[i], text) == 0)
            return true;
    return false;
}

static enum err_code look_up(const char *host, int flags,
                             struct smtp_address_list *out, struct err *err)
{
    const struct addrinfo hints = {
        .ai_flags = flags, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    int failed = getaddrinfo(host, NULL, &hints, &found);
    if (failed != 0)
        return explain_gai(failed, host, err);
    out->count = 0;
    for (const struct addrinfo *i = found;
         i != NULL && out->count < SMTP_ADDRESSES_MAX; i = i->ai_next) {
        char text[SMTP_ADDRESS_TEXT_MAX];
        if (getnameinfo(i->ai_addr, i->ai_addrlen, text, sizeof(text), NULL, 0,
                        NI_NUMERICHOST) == 0 &&
            !has(out, text))
            memcpy(out->texts[out->count++], text, sizeof(text));
    }
    freeaddrinfo(found);
    return ERR_NONE;
}

static enum err_code resolve_name(void *ctx, const char *host,
                                  struct smtp_address_list *out,
                                  struct err *err)
{
    (void)ctx;
    return look_up(host, 0, out, err);
}

/* ---- what was found ---- */

/* Lock held. Addresses that stay keep what is known of them. */
static void take_list(struct smtp_addresses *a,
                      const struct smtp_address_list *list)
{
    struct address items[SMTP_ADDRESSES_MAX] = {{.failures = 0}};
    size_t count = 0;
    for (size_t i = 0; i < list->count && i < SMTP_ADDRESSES_MAX; i++) {
        struct address *item = &items[count++];
        for (size_t k = 0; k < a->count; k++)
            if (strcmp(a->items[k].text, list->texts[i]) == 0)
                *item = a->items[k];
        (void)snprintf(item->text, sizeof(item->text), "%s", list->texts[i]);
    }
    memcpy(a->items, items, sizeof(items));
    a->count = count;
}

static bool is_shunned(const struct address *item, int64_t now_ms)
{
    return item->failures > 0 && now_ms < item->shun_until_ms;
}

/* Appends those that are, or are not, shunned, from the turn's on. */
static void add_kind(const struct smtp_addresses *a, bool shunned,
                     int64_t now_ms, struct smtp_address_list *out)
{
    const struct address *kind[SMTP_ADDRESSES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < a->count; i++)
        if (is_shunned(&a->items[i], now_ms) == shunned)
            kind[count++] = &a->items[i];
    for (size_t i = 0; i < count; i++)
        memcpy(out->texts[out->count++], kind[(a->turn + i) % count]->text,
               SMTP_ADDRESS_TEXT_MAX);
}

/* Lock held. */
static void give_list(struct smtp_addresses *a, int64_t now_ms,
                      struct smtp_address_list *out)
{
    out->count = 0;
    add_kind(a, false, now_ms, out);
    add_kind(a, true, now_ms, out);
    a->turn++;
}

/* ---- lookups ---- */

static void unref(struct smtp_addresses *a)
{
    mutex_lock(&a->lock);
    bool last = --a->refs == 0;
    mutex_unlock(&a->lock);
    if (!last)
        return;
    mutex_fini(&a->lock);
    mem_free(a->relay);
    mem_free(a->host);
    mem_free(a);
}

/* Lock held. list NULL: it failed, for the reason in a->failure. */
static void end_lookup(struct smtp_addresses *a,
                       const struct smtp_address_list *list)
{
    struct smtp_addresses_wait *wait;
    if (list != NULL) {
        a->failure.code = ERR_NONE;
        a->found_ms = a->asked_ms;
        take_list(a, list);
    }
    a->answered = a->asked;
    while ((wait = TAILQ_FIRST(&a->waiting)) != NULL) {
        TAILQ_REMOVE(&a->waiting, wait, next);
        wait->waiting = false;
        wake_raise(wait->wake);
    }
}

/* The lookup's own thread; it has a reference. */
static void run_lookup(void *arg)
{
    struct smtp_addresses *a = arg;
    struct smtp_address_list list = {.count = 0};
    struct err err = {.code = ERR_NONE};
    enum err_code code =
        a->options.resolve(a->options.ctx, a->host, &list, &err);
    if (code == ERR_NONE && list.count == 0)
        code = explain_gai(EAI_NODATA, a->host, &err);
    mutex_lock(&a->lock);
    if (code != ERR_NONE)
        a->failure = err;
    end_lookup(a, code == ERR_NONE ? &list : NULL);
    bool stale = code != ERR_NONE && a->count > 0;
    mutex_unlock(&a->lock);
    if (stale && a->options.on_stale != NULL)
        a->options.on_stale(a->relay, err.text);
    unref(a);
}

/* Lock held. */
static void begin_lookup(struct smtp_addresses *a, int64_t now_ms)
{
    struct thread thread = {.started = false};
    a->asked++;
    a->asked_ms = now_ms;
    a->refs++;
    if (thread_start(&thread, "lookup", run_lookup, a, &a->failure) ==
        ERR_NONE) {
        thread_detach(&thread);
        return;
    }
    a->refs--;
    end_lookup(a, NULL);
}

/* Lock held. */
static bool is_looking(const struct smtp_addresses *a)
{
    return a->asked != a->answered;
}

/* Lock held, and no lookup under way. */
static bool is_fresh(const struct smtp_addresses *a, int64_t now_ms)
{
    int64_t keep_ms = a->failure.code == ERR_NONE ? a->options.keep_ms
                                                  : a->options.keep_error_ms;
    return a->asked > 0 && now_ms < a->asked_ms + keep_ms;
}

/* ---- interface ---- */

void smtp_addresses_create(struct smtp_addresses **out,
                           const struct smtp_addresses_options *options)
{
    struct smtp_addresses *a;
    struct smtp_address_list list;
    MEM_NEW(a);
    mutex_init(&a->lock);
    TAILQ_INIT(&a->waiting);
    a->refs = 1;
    a->options = *options;
    a->relay = mem_strdup(str_from(options->relay));
    a->host = mem_strdup(str_from(options->host));
    a->options.relay = a->relay;
    a->options.host = a->host;
    if (a->options.resolve == NULL)
        a->options.resolve = resolve_name;
    if (a->options.keep_ms == 0)
        a->options.keep_ms = SMTP_ADDRESSES_KEEP_MS;
    if (a->options.keep_error_ms == 0)
        a->options.keep_error_ms = SMTP_ADDRESSES_KEEP_ERROR_MS;
    a->is_numeric = look_up(a->host, AI_NUMERICHOST, &list, NULL) == ERR_NONE &&
                    list.count > 0;
    if (a->is_numeric)
        take_list(a, &list);
    *out = a;
}

void smtp_addresses_destroy(struct smtp_addresses *a)
{
    if (a == NULL)
        return;
    PANIC_IF(!TAILQ_EMPTY(&a->waiting));
    unref(a);
}

/* Lock held. */
static enum err_code take(struct smtp_addresses *a, int64_t now_ms,
                          struct smtp_addresses_wait *wait,
                          struct smtp_address_list *out, struct err *err)
{
    /* What somebody waited for is not too old for him. */
    bool waited =
        wait != NULL && wait->lookup > 0 && wait->lookup <= a->answered;
    if (!a->is_numeric && !waited && !is_looking(a) && !is_fresh(a, now_ms))
        begin_lookup(a, now_ms);
    bool old =
        now_ms >= a->found_ms + a->options.keep_ms + SMTP_ADDRESSES_OLD_MS;
    if (a->count > 0 && (waited || !is_looking(a) || !old)) {
        give_list(a, now_ms, out);
        return ERR_NONE;
    }
    if (waited || !is_looking(a)) {
        *err = a->failure;
        return err->code;
    }
    if (wait != NULL && !wait->waiting) {
        wait->lookup = a->asked;
        wait->waiting = true;
        TAILQ_INSERT_TAIL(&a->waiting, wait, next);
    }
    return ERR_AGAIN;
}

enum err_code smtp_addresses_take(struct smtp_addresses *a, int64_t now_ms,
                                  struct smtp_addresses_wait *wait,
                                  struct smtp_address_list *out,
                                  struct err *err)
{
    mutex_lock(&a->lock);
    enum err_code code = take(a, now_ms, wait, out, err);
    mutex_unlock(&a->lock);
    return code;
}

void smtp_addresses_cancel(struct smtp_addresses *a,
                           struct smtp_addresses_wait *wait)
{
    mutex_lock(&a->lock);
    if (wait->waiting)
        TAILQ_REMOVE(&a->waiting, wait, next);
    wait->waiting = false;
    mutex_unlock(&a->lock);
}

static void note(struct address *item, bool worked, int64_t now_ms)
{
    if (worked) {
        item->failures = 0;
        return;
    }
    /* Sessions that failed together count once. */
    if (is_shunned(item, now_ms))
        return;
    int64_t pause_ms = SMTP_ADDRESS_SHUN_FIRST_MS;
    for (unsigned i = 0;
         i < item->failures && pause_ms < SMTP_ADDRESS_SHUN_LONGEST_MS; i++)
        pause_ms *= 2;
    if (pause_ms > SMTP_ADDRESS_SHUN_LONGEST_MS)
        pause_ms = SMTP_ADDRESS_SHUN_LONGEST_MS;
    item->failures++;
    item->shun_until_ms = now_ms + pause_ms;
}

void smtp_addresses_tell(struct smtp_addresses *a, const char *address,
                         bool worked, int64_t now_ms)
{
    mutex_lock(&a->lock);
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->items[i].text, address) == 0)
            note(&a->items[i], worked, now_ms);
    mutex_unlock(&a->lock);
}

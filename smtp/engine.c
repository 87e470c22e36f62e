#include "smtp/engine.h"

#include <signal.h>
#include <string.h>

#include <event2/event.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/panic.h"

static bool speaks(const curl_version_info_data *info, const char *protocol)
{
    for (const char *const *p = info->protocols; *p != NULL; p++)
        if (strcmp(*p, protocol) == 0)
            return true;
    return false;
}

enum err_code smtp_global_init(struct err *err)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    CURLcode rc = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (rc != CURLE_OK)
        return err_set(err, ERR_SYSTEM, "cannot start libcurl: %s",
                       curl_easy_strerror(rc));
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    if ((info->features & CURL_VERSION_SSL) == 0 ||
        (info->features & CURL_VERSION_ASYNCHDNS) == 0 ||
        !speaks(info, "smtp") || !speaks(info, "smtps")) {
        curl_global_cleanup();
        return err_set(err, ERR_SYSTEM,
                       "libcurl %s was built without smtps or without "
                       "asynchronous name lookups",
                       info->version);
    }
    (void)sigaction(SIGPIPE, &ignore, NULL);
    return ERR_NONE;
}

void smtp_global_fini(void)
{
    curl_global_cleanup();
}

/* Looks for connections that are done, well or not. */
static void check_done(struct smtp_engine *e)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(e->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        /* message is gone as soon as its handle is used. */
        CURLcode code = message->data.result;
        char *private = NULL;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
                                &private);
        struct smtp_engine_client *c = (void *)private;
        c->hooks->connected(c, code);
    }
}

static void drive(struct smtp_engine *e, curl_socket_t fd, int mask)
{
    int running;
    CURLMcode rc = curl_multi_socket_action(e->multi, fd, mask, &running);
    /* The session that it hit, if any, runs into its deadline. */
    if (rc != CURLM_OK)
        log_event(LOG_LEVEL_DEBUG, "smtp.libcurl",
                  LOG_TEXT("error", curl_multi_strerror(rc)));
    check_done(e);
}

static void on_socket(evutil_socket_t fd, short what, void *ctx)
{
    int mask = ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
               ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0);
    drive(ctx, fd, mask);
}

static void on_curl_timer(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    drive(ctx, CURL_SOCKET_TIMEOUT, 0);
}

/* libcurl tells which sockets to watch; it keeps our event beside each. */
static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *ctx,
                        void *socket_ctx)
{
    (void)easy;
    struct smtp_engine *e = ctx;
    struct event *event = socket_ctx;
    if (event != NULL)
        event_free(event);
    event = NULL;
    if (what != CURL_POLL_REMOVE) {
        short kinds =
            (short)(EV_PERSIST | ((what & CURL_POLL_IN) != 0 ? EV_READ : 0) |
                    ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0));
        event = event_new(e->base, fd, kinds, on_socket, e);
        /* If it cannot be watched the session runs into its deadline. */
        if (event != NULL && event_add(event, NULL) != 0) {
            event_free(event);
            event = NULL;
        }
    }
    (void)curl_multi_assign(e->multi, fd, event);
    return 0;
}

static struct timeval timeval_of(int64_t ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

static int set_curl_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    (void)multi;
    struct smtp_engine *e = ctx;
    struct timeval after = timeval_of(timeout_ms);
    int rc = timeout_ms < 0 ? event_del(e->curl_timer)
                            : event_add(e->curl_timer, &after);
    return rc == 0 ? 0 : -1;
}

/* One pass over what was due when it began, so that the loop goes on. */
static void on_due(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct smtp_engine *e = ctx;
    struct smtp_engine_client *last =
        TAILQ_LAST(&e->due_clients, smtp_engine_clients);
    struct smtp_engine_client *c;
    bool more = last != NULL;
    while (more && (c = TAILQ_FIRST(&e->due_clients)) != NULL) {
        more = c != last;
        c->is_due = false;
        TAILQ_REMOVE(&e->due_clients, c, waiting);
        c->hooks->due(c);
    }
}

static void run_tick(struct smtp_engine *e)
{
    const struct timeval after = timeval_of(SMTP_ENGINE_TICK_MS);
    if (!e->tick_runs)
        e->tick_runs = event_add(e->tick, &after) == 0;
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct smtp_engine *e = ctx;
    int64_t now_ms = clock_mono_ms(e->clock);
    bool any = false;
    struct smtp_engine_client *next;
    e->tick_runs = false;
    for (struct smtp_engine_client *c = TAILQ_FIRST(&e->clients); c != NULL;
         c = next) {
        next = TAILQ_NEXT(c, all);
        any = any || c->deadline_ms != 0;
        if (c->deadline_ms != 0 && c->deadline_ms <= now_ms) {
            c->deadline_ms = 0;
            c->hooks->deadline(c);
        }
    }
    if (any)
        run_tick(e);
}

static enum err_code set_up_curl(struct smtp_engine *e, struct err *err)
{
    e->multi = curl_multi_init();
    e->share = curl_share_init();
    if (e->multi == NULL || e->share == NULL)
        return err_set(err, ERR_SYSTEM, "cannot create a libcurl handle");
    bool ok = curl_multi_setopt(e->multi, CURLMOPT_SOCKETFUNCTION,
                                watch_socket) == CURLM_OK &&
              curl_multi_setopt(e->multi, CURLMOPT_SOCKETDATA, e) == CURLM_OK &&
              curl_multi_setopt(e->multi, CURLMOPT_TIMERFUNCTION,
                                set_curl_timer) == CURLM_OK &&
              curl_multi_setopt(e->multi, CURLMOPT_TIMERDATA, e) == CURLM_OK &&
              curl_share_setopt(e->share, CURLSHOPT_SHARE,
                                CURL_LOCK_DATA_SSL_SESSION) == CURLSHE_OK;
    if (!ok)
        return err_set(err, ERR_SYSTEM, "cannot set up a libcurl handle");
    return ERR_NONE;
}

static enum err_code set_up(struct smtp_engine *e, struct err *err)
{
    e->curl_timer = event_new(e->base, -1, 0, on_curl_timer, e);
    e->tick = event_new(e->base, -1, 0, on_tick, e);
    e->due = event_new(e->base, -1, 0, on_due, e);
    if (e->curl_timer == NULL || e->tick == NULL || e->due == NULL)
        return err_set(err, ERR_SYSTEM, "cannot create events");
    return set_up_curl(e, err);
}

enum err_code smtp_engine_create(struct smtp_engine **out,
                                 struct event_base *base,
                                 const struct clock *clock, struct err *err)
{
    struct smtp_engine *e;
    MEM_NEW(e);
    e->base = base;
    e->clock = clock;
    TAILQ_INIT(&e->clients);
    TAILQ_INIT(&e->due_clients);
    TAILQ_INIT(&e->speakers);
    enum err_code rc = set_up(e, err);
    if (rc != ERR_NONE) {
        smtp_engine_destroy(e);
        return rc;
    }
    *out = e;
    return ERR_NONE;
}

static void free_event(struct event *event)
{
    if (event != NULL)
        event_free(event);
}

void smtp_engine_destroy(struct smtp_engine *e)
{
    if (e == NULL)
        return;
    PANIC_IF(!TAILQ_EMPTY(&e->clients));
    /* It may still call set_curl_timer() and watch_socket(). */
    if (e->multi != NULL)
        (void)curl_multi_cleanup(e->multi);
    if (e->share != NULL)
        (void)curl_share_cleanup(e->share);
    free_event(e->curl_timer);
    free_event(e->tick);
    free_event(e->due);
    mem_free(e);
}

void smtp_engine_flush(struct smtp_engine *e)
{
    struct smtp_engine_client *c;
    while ((c = TAILQ_FIRST(&e->speakers)) != NULL) {
        c->will_speak = false;
        TAILQ_REMOVE(&e->speakers, c, speaking);
        c->hooks->speak(c);
    }
}

void smtp_engine_add(struct smtp_engine *e, struct smtp_engine_client *c)
{
    TAILQ_INSERT_TAIL(&e->clients, c, all);
}

void smtp_engine_remove(struct smtp_engine *e, struct smtp_engine_client *c)
{
    TAILQ_REMOVE(&e->clients, c, all);
    if (c->is_due)
        TAILQ_REMOVE(&e->due_clients, c, waiting);
    if (c->will_speak)
        TAILQ_REMOVE(&e->speakers, c, speaking);
    c->is_due = false;
    c->will_speak = false;
}

void smtp_engine_set_deadline(struct smtp_engine *e,
                              struct smtp_engine_client *c, int64_t deadline_ms)
{
    c->deadline_ms = deadline_ms;
    if (deadline_ms != 0)
        run_tick(e);
}

void smtp_engine_set_due(struct smtp_engine *e, struct smtp_engine_client *c)
{
    if (c->is_due)
        return;
    c->is_due = true;
    TAILQ_INSERT_TAIL(&e->due_clients, c, waiting);
    event_active(e->due, EV_TIMEOUT, 0);
}

void smtp_engine_set_speaking(struct smtp_engine *e,
                              struct smtp_engine_client *c)
{
    if (c->will_speak)
        return;
    c->will_speak = true;
    TAILQ_INSERT_TAIL(&e->speakers, c, speaking);
}

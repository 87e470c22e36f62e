#include "smtp/connect.h"

#include <string.h>

#include <event2/event.h>

#include "core/log.h"
#include "core/mem.h"
#include "smtp/connect_options.h"
#include "smtp/trouble.h"

static bool host_ok(const char *host)
{
    if (*host == '\0')
        return false;
    for (; *host != '\0'; host++) {
        unsigned char c = (unsigned char)*host;
        bool plain = ascii_is_alpha(*host) || ascii_is_digit(*host) ||
                     strchr(".-_:%", *host) != NULL || c >= 0x80;
        if (!plain)
            return false;
    }
    return true;
}

/* ---- attempts ---- */

static enum err_code begin_attempt(struct smtp_connect *c)
{
    c->in_reply = false;
    c->error[0] = '\0';
    smtp_caps_clear(&c->caps);
    smtp_reply_parser_init(&c->parser);
    smtp_reply_set_own(&c->last, "", "");
    CURL *easy = curl_easy_init();
    if (easy == NULL)
        return ERR_SYSTEM;
    if (smtp_connect_set_options(c, easy) != CURLE_OK ||
        curl_multi_add_handle(c->engine->multi, easy) != CURLM_OK) {
        curl_easy_cleanup(easy);
        return ERR_SYSTEM;
    }
    c->easy = easy;
    return ERR_NONE;
}

static void end_attempt(struct smtp_connect *c)
{
    if (c->easy != NULL) {
        (void)curl_multi_remove_handle(c->engine->multi, c->easy);
        curl_easy_cleanup(c->easy);
    }
    c->easy = NULL;
    curl_slist_free_all(c->connect_to);
    c->connect_to = NULL;
}

static int64_t time_left_ms(const struct smtp_connect *c)
{
    return c->until_ms - clock_mono_ms(c->engine->clock);
}

/* With the address whose turn it is. */
static enum err_code try_address(struct smtp_connect *c)
{
    int64_t left_ms = time_left_ms(c);
    c->timeout_ms = left_ms / (int64_t)(c->list->count - c->at);
    if (c->timeout_ms < SMTP_CONNECT_LEAST_MS)
        c->timeout_ms = SMTP_CONNECT_LEAST_MS;
    if (c->timeout_ms > left_ms)
        c->timeout_ms = left_ms > 0 ? left_ms : 1;
    log_event(LOG_LEVEL_DEBUG, "smtp.connecting",
              LOG_TEXT("relay", c->relay->name),
              LOG_TEXT("address", c->list->texts[c->at]),
              LOG_INT("timeout_ms", c->timeout_ms));
    return begin_attempt(c);
}

/* ---- waiting for addresses ---- */

static void end_wait(struct smtp_connect *c)
{
    if (c->woken == NULL)
        return;
    smtp_addresses_cancel(c->relay->addresses, &c->wait);
    event_free(c->woken);
    c->woken = NULL;
    wake_fini(&c->wake);
}

static enum err_code take_addresses(struct smtp_connect *c,
                                    struct smtp_addresses_wait *wait)
{
    return smtp_addresses_take(c->relay->addresses,
                               clock_mono_ms(c->engine->clock), wait, c->list,
                               &c->lookup);
}

/* Ends the wait, unless it goes on; may free c. */
static void on_woken(evutil_socket_t fd, short what, void *ctx)
{
    struct smtp_connect *c = ctx;
    CURLcode code = CURLE_OPERATION_TIMEDOUT;
    (void)fd;
    if ((what & EV_READ) != 0) {
        wake_clear(&c->wake);
        enum err_code rc = take_addresses(c, &c->wait);
        if (rc == ERR_AGAIN)
            return;
        if (rc == ERR_NONE && try_address(c) == ERR_NONE) {
            end_wait(c);
            return;
        }
        code = rc == ERR_NONE ? CURLE_FAILED_INIT : CURLE_COULDNT_RESOLVE_HOST;
    }
    end_wait(c);
    c->client->hooks->connected(c->client, code);
}

static enum err_code wait_for_addresses(struct smtp_connect *c)
{
    int64_t left_ms = time_left_ms(c);
    const struct timeval until = {.tv_sec = left_ms / 1000,
                                  .tv_usec = left_ms % 1000 * 1000};
    if (wake_init(&c->wake, NULL) != ERR_NONE)
        return ERR_SYSTEM;
    c->wait = (struct smtp_addresses_wait){.wake = &c->wake};
    c->woken = event_new(c->engine->base, c->wake.fd, EV_READ | EV_PERSIST,
                         on_woken, c);
    if (c->woken == NULL) {
        wake_fini(&c->wake);
        return ERR_SYSTEM;
    }
    if (event_add(c->woken, &until) != 0) {
        end_wait(c);
        return ERR_SYSTEM;
    }
    enum err_code code = take_addresses(c, &c->wait);
    c->lookup.code = ERR_NONE;
    if (code == ERR_NONE) {
        end_wait(c);
        return try_address(c);
    }
    /* A failure is told from the loop, as it has to be. */
    if (code != ERR_AGAIN)
        wake_raise(&c->wake);
    return ERR_NONE;
}

static enum err_code start(struct smtp_connect *c)
{
    if (c->relay->addresses == NULL)
        return begin_attempt(c);
    c->list = mem_alloc(sizeof(*c->list));
    if (take_addresses(c, NULL) == ERR_NONE)
        return try_address(c);
    return wait_for_addresses(c);
}

enum err_code smtp_connect_start(struct smtp_connect *c,
                                 struct smtp_engine *engine,
                                 const struct smtp_relay *relay,
                                 struct smtp_engine_client *client)
{
    c->engine = engine;
    c->relay = relay;
    c->client = client;
    c->easy = NULL;
    c->connect_to = NULL;
    c->list = NULL;
    c->at = 0;
    c->woken = NULL;
    c->lookup.code = ERR_NONE;
    c->timeout_ms = relay->connect_timeout_ms;
    c->until_ms = clock_mono_ms(engine->clock) + relay->connect_timeout_ms;
    if (!host_ok(relay->host))
        return ERR_INVALID;
    enum err_code code = start(c);
    if (code != ERR_NONE)
        smtp_connect_close(c);
    return code;
}

/* ---- what came of it ---- */

static bool time_is_set(const struct smtp_connect *c, CURLINFO info)
{
    curl_off_t us = 0;
    return curl_easy_getinfo(c->easy, info, &us) == CURLE_OK && us > 0;
}

/*
 * CURLINFO_CONNECT_TIME_T is no sign of TCP: it is set when TLS is done too.
 */
static bool has_tcp(const struct smtp_connect *c)
{
    long port = 0;
    return curl_easy_getinfo(c->easy, CURLINFO_LOCAL_PORT, &port) == CURLE_OK &&
           port > 0;
}

static enum smtp_reached reached_of(const struct smtp_connect *c)
{
    if (time_is_set(c, CURLINFO_APPCONNECT_TIME_T))
        return SMTP_REACHED_TLS;
    if (has_tcp(c))
        return SMTP_REACHED_TCP;
    if (time_is_set(c, CURLINFO_NAMELOOKUP_TIME_T))
        return SMTP_REACHED_ADDRESS;
    return SMTP_REACHED_NOTHING;
}

static const char *address_of(const struct smtp_connect *c)
{
    bool named = c->list != NULL && c->connect_to != NULL;
    return named ? c->list->texts[c->at] : NULL;
}

static void explain_attempt(const struct smtp_connect *c, CURLcode code,
                            struct err *err)
{
    long os_errno = 0;
    (void)curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &os_errno);
    const struct smtp_trouble trouble = {
        .relay = c->relay,
        .address = address_of(c),
        .timeout_ms = c->timeout_ms,
        .code = code,
        .reached = reached_of(c),
        .os_errno = (int)os_errno,
        .curl_text = c->error,
        .last = &c->last,
        .caps = &c->caps,
    };
    smtp_trouble_connect(&trouble, err);
}

static bool has_logged_in(const struct smtp_connect *c)
{
    long response = 0;
    (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &response);
    return c->relay->username == NULL || response == 235;
}

/*
 * Whether a failure may be one of this address only. A password that is wrong
 * is so everywhere, and saying it often may lock the account.
 */
static bool is_of_address(const struct smtp_connect *c, CURLcode code)
{
    switch ((int)code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_USE_SSL_FAILED:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_REMOTE_ACCESS_DENIED:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_OK: /* but no AUTH */
        return true;
    case CURLE_LOGIN_DENIED:
        return c->last.code < 500;
    default:
        return false;
    }
}

static void explain(const struct smtp_connect *c, CURLcode code,
                    struct err *err)
{
    if (c->lookup.code != ERR_NONE) {
        char who[SMTP_TROUBLE_NAME_MAX];
        smtp_trouble_relay(c->relay, who);
        err_set(err, c->lookup.code, "%s: %s", who, c->lookup.text);
        return;
    }
    explain_attempt(c, code, err);
    if (c->list == NULL || c->list->count == 1 || c->easy == NULL ||
        !is_of_address(c, code))
        return;
    if (c->at + 1 == c->list->count)
        err_prefix(err, "all %zu addresses failed, the last", c->list->count);
    else
        err_prefix(err, "%zu of %zu addresses failed in time, the last",
                   c->at + 1, c->list->count);
}

static void tell_addresses(const struct smtp_connect *c, bool worked)
{
    smtp_addresses_tell(c->relay->addresses, c->list->texts[c->at], worked,
                        clock_mono_ms(c->engine->clock));
}

bool smtp_connect_tries_another(struct smtp_connect *c, CURLcode code)
{
    struct err err;
    if (c->list == NULL || c->easy == NULL)
        return false;
    if (code == CURLE_OK && has_logged_in(c)) {
        tell_addresses(c, true);
        mem_free(c->list);
        c->list = NULL;
        return false;
    }
    if (!is_of_address(c, code))
        return false;
    tell_addresses(c, false);
    if (c->at + 1 == c->list->count || time_left_ms(c) <= 0)
        return false;
    explain_attempt(c, code, &err);
    log_event(LOG_LEVEL_DEBUG, "smtp.next_address",
              LOG_TEXT("relay", c->relay->name), LOG_TEXT("error", err.text));
    end_attempt(c);
    c->at++;
    return try_address(c) == ERR_NONE;
}

enum err_code smtp_connect_check(const struct smtp_connect *c, CURLcode code,
                                 struct err *err)
{
    /*
     * A relay that offers no AUTH at all is fine with libcurl, which goes on
     * without; for us it is not.
     */
    if (c->easy != NULL && code == CURLE_OK && has_logged_in(c))
        return ERR_NONE;
    explain(c, code, err);
    return err->code;
}

void smtp_connect_explain_timeout(const struct smtp_connect *c, struct err *err)
{
    explain(c, CURLE_OPERATION_TIMEDOUT, err);
}

int smtp_connect_socket(const struct smtp_connect *c)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (curl_easy_getinfo(c->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK)
        return -1;
    return fd;
}

void smtp_connect_close(struct smtp_connect *c)
{
    end_wait(c);
    end_attempt(c);
    mem_free(c->list);
    c->list = NULL;
}

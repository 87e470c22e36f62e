#include "smtp/connect_options.h"

#include <string.h>

#include "core/buf.h"

#define URL_MAX_BYTES 4096
/* Reading the system's CAs costs some 26 ms of CPU. libcurl's own: a day. */
#define CA_CACHE_S 60

/* The first option that fails stops the rest. */
struct options {
    CURL *easy;
    CURLcode rc;
};

static void set_long(struct options *o, CURLoption option, long value)
{
    if (o->rc == CURLE_OK)
        o->rc = curl_easy_setopt(o->easy, option, value);
}

static void set_pointer(struct options *o, CURLoption option, void *value)
{
    if (o->rc == CURLE_OK)
        o->rc = curl_easy_setopt(o->easy, option, value);
}

static void set_text(struct options *o, CURLoption option, const char *value)
{
    if (o->rc == CURLE_OK)
        o->rc = curl_easy_setopt(o->easy, option, value);
}

/* RFC 3986 and 6874: IPv6 in brackets, the % of a zone as %25. */
static void add_host(struct buf *url, const char *host)
{
    bool is_ipv6 = strchr(host, ':') != NULL;
    if (is_ipv6)
        buf_add_char(url, '[');
    for (; *host != '\0'; host++) {
        buf_add_char(url, *host);
        if (*host == '%')
            buf_add_text(url, "25");
    }
    if (is_ipv6)
        buf_add_char(url, ']');
}

/* The URL's path is the name for EHLO. */
static void set_url(struct options *o, const struct smtp_relay *relay)
{
    struct buf url;
    buf_init(&url, URL_MAX_BYTES);
    buf_add_text(&url,
                 relay->tls == SMTP_TLS_IMPLICIT ? "smtps://" : "smtp://");
    add_host(&url, relay->host);
    buf_add_char(&url, ':');
    buf_add_u64(&url, relay->port);
    buf_add_char(&url, '/');
    if (relay->hostname != NULL) {
        char *name = curl_easy_escape(o->easy, relay->hostname, 0);
        if (name != NULL)
            buf_add_text(&url, name);
        else
            o->rc = CURLE_OUT_OF_MEMORY;
        curl_free(name);
    }
    buf_add_char(&url, '\0');
    if (!buf_ok(&url))
        o->rc = CURLE_URL_MALFORMAT;
    set_text(o, CURLOPT_URL, url.data);
    buf_fini(&url);
}

static void set_tls(struct options *o, const struct smtp_relay *relay)
{
    if (relay->tls == SMTP_TLS_STARTTLS)
        set_long(o, CURLOPT_USE_SSL, CURLUSESSL_ALL);
    set_long(o, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    set_long(o, CURLOPT_SSL_VERIFYPEER, relay->verify ? 1 : 0);
    set_long(o, CURLOPT_SSL_VERIFYHOST, relay->verify ? 2 : 0);
    if (relay->ca_file != NULL)
        set_text(o, CURLOPT_CAINFO, relay->ca_file);
    set_long(o, CURLOPT_CA_CACHE_TIMEOUT, CA_CACHE_S);
    /* With a directory libcurl reads all CAs again for each connection. */
    set_text(o, CURLOPT_CAPATH, NULL);
}

static void set_login(struct options *o, const struct smtp_relay *relay)
{
    if (relay->username == NULL)
        return;
    set_text(o, CURLOPT_USERNAME, relay->username);
    set_text(o, CURLOPT_PASSWORD,
             relay->password != NULL ? relay->password : "");
    set_text(o, CURLOPT_LOGIN_OPTIONS, "AUTH=PLAIN;AUTH=LOGIN");
    set_long(o, CURLOPT_SASL_IR, 1);
}

/* One address, and still the relay's name for TLS. */
static void set_address(struct options *o, struct smtp_connect *c)
{
    struct buf to;
    const char *address = c->list->texts[c->at];
    bool is_ipv6 = strchr(address, ':') != NULL;
    if (strcmp(address, c->relay->host) == 0)
        return;
    buf_init(&to, URL_MAX_BYTES);
    buf_add_text(&to, is_ipv6 ? "::[" : "::");
    buf_add_text(&to, address);
    buf_add_text(&to, is_ipv6 ? "]:" : ":");
    buf_add_char(&to, '\0');
    c->connect_to = curl_slist_append(NULL, to.data);
    if (c->connect_to == NULL)
        o->rc = CURLE_OUT_OF_MEMORY;
    set_pointer(o, CURLOPT_CONNECT_TO, c->connect_to);
    buf_fini(&to);
}

static void set_limits(struct options *o, const struct smtp_connect *c)
{
    long timeout_ms = (long)c->timeout_ms;
    /* DNS to AUTH. CURLOPT_TIMEOUT would break the session later. */
    set_long(o, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
    /* Its default would cut a longer connect timeout to two minutes. */
    set_long(o, CURLOPT_SERVER_RESPONSE_TIMEOUT, timeout_ms / 1000 + 1);
    /* Else closing waits for a name lookup under way, and the loop with it. */
    set_long(o, CURLOPT_QUICK_EXIT, 1);
    set_long(o, CURLOPT_TCP_KEEPALIVE, 1);
    set_long(o, CURLOPT_TCP_NODELAY, 1);
}

/*
 * Only EHLO and HELO are answered with 250 before AUTH: each such reply
 * starts a new set.
 */
static void take_caps(struct smtp_connect *c, struct str line)
{
    bool is_first = !c->in_reply;
    c->in_reply = line.len > 3 && line.data[3] == '-';
    if (!str_starts(line, STR("250")))
        return;
    if (is_first)
        smtp_caps_clear(&c->caps);
    else
        smtp_caps_add(&c->caps, str_trim(str_after(line, 4)));
}

/* libcurl brings one line of a reply at a time. */
static size_t take_line(char *data, size_t size, size_t count, void *ctx)
{
    struct smtp_connect *c = ctx;
    struct str line = str_of(data, size * count);
    take_caps(c, line);
    while (line.len > 0) {
        enum err_code rc = smtp_reply_parse(&c->parser, &line, &c->last);
        if (rc == ERR_NONE)
            continue;
        /* What is no reply is libcurl's to judge. */
        if (rc == ERR_INVALID)
            smtp_reply_parser_init(&c->parser);
        break;
    }
    return size * count;
}

CURLcode smtp_connect_set_options(struct smtp_connect *c, CURL *easy)
{
    struct options options = {.easy = easy, .rc = CURLE_OK};
    struct options *o = &options;
    set_url(o, c->relay);
    if (c->list != NULL)
        set_address(o, c);
    set_text(o, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    set_long(o, CURLOPT_CONNECT_ONLY, 1);
    set_long(o, CURLOPT_NOSIGNAL, 1);
    set_long(o, CURLOPT_VERBOSE, 0);
    set_text(o, CURLOPT_PROXY, "");
    set_pointer(o, CURLOPT_SHARE, c->engine->share);
    set_pointer(o, CURLOPT_PRIVATE, c->client);
    set_pointer(o, CURLOPT_ERRORBUFFER, c->error);
    set_pointer(o, CURLOPT_HEADERDATA, c);
    if (o->rc == CURLE_OK)
        o->rc = curl_easy_setopt(o->easy, CURLOPT_HEADERFUNCTION, take_line);
    set_limits(o, c);
    set_tls(o, c->relay);
    set_login(o, c->relay);
    return o->rc;
}

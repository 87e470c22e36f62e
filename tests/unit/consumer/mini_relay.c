#include "tests/unit/consumer/mini_relay.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/net.h"
#include "core/thread.h"

#define CONNECTIONS_MAX 256

struct conn {
    struct mini_relay *relay;
    struct thread thread;
    int fd;
    unsigned number;
    size_t len;
    size_t used; /* bytes of data that were given as lines */
    char data[4096];
};

struct mini_relay {
    int fd;
    unsigned port;
    struct thread thread;
    struct mutex lock; /* guards all below */
    struct cond changed;
    bool stopping;
    bool hold;
    unsigned held;
    unsigned recipient_limit;
    unsigned session_limit;
    unsigned greeted;
    unsigned refused;
    unsigned open;
    unsigned slow; /* times that "slow" is to be told so */
    unsigned told_slow;
    const char *extensions;
    unsigned quits;
    unsigned mails;
    unsigned conn_count;
    struct conn *conns[CONNECTIONS_MAX];
    struct mini_mail mail[MINI_MAILS_MAX];
};

static bool say(struct conn *c, const char *text)
{
    size_t len = strlen(text);
    return send(c->fd, text, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* More bytes behind those that were not taken yet. False: no more come. */
static bool receive(struct conn *c)
{
    memmove(c->data, c->data + c->used, c->len - c->used);
    c->len -= c->used;
    c->used = 0;
    if (c->len == sizeof(c->data))
        return false;
    ssize_t got = recv(c->fd, c->data + c->len, sizeof(c->data) - c->len, 0);
    if (got > 0)
        c->len += (size_t)got;
    return got > 0;
}

/* The next line without CRLF, valid until the next call; NULL at the end. */
static char *next_line(struct conn *c)
{
    for (;;) {
        char *start = c->data + c->used;
        char *end = memchr(start, '\n', c->len - c->used);
        if (end != NULL) {
            c->used = (size_t)(end - c->data) + 1;
            *end = '\0';
            if (end > start && end[-1] == '\r')
                end[-1] = '\0';
            return start;
        }
        if (!receive(c))
            return NULL;
    }
}

static bool skip(struct conn *c, size_t bytes)
{
    while (bytes > 0) {
        size_t here = c->len - c->used;
        if (here > bytes)
            here = bytes;
        c->used += here;
        bytes -= here;
        if (bytes > 0 && !receive(c))
            return false;
    }
    return true;
}

/* What is between < and @ or >. */
static void local_part(const char *line, char *out, size_t size)
{
    const char *start = strchr(line, '<');
    size_t len = start == NULL ? 0 : strcspn(start + 1, "@>");
    (void)snprintf(out, size, "%.*s", (int)len, start == NULL ? "" : start + 1);
}

static bool say_code(struct conn *c, const char *code)
{
    char reply[64];
    (void)snprintf(reply, sizeof(reply), "%.3s as you wish\r\n", code);
    return say(c, reply);
}

static bool take_rcpt(struct conn *c, const char *line, struct mini_mail *mail,
                      unsigned *count)
{
    char name[64];
    local_part(line, name, sizeof(name));
    if (mail->connection == 0)
        return say(c, "503 no mail\r\n");
    mutex_lock(&c->relay->lock);
    unsigned limit = c->relay->recipient_limit;
    mutex_unlock(&c->relay->lock);
    if (strlen(name) > 4 && name[3] == '-' &&
        (name[0] == '4' || name[0] == '5'))
        return say_code(c, name);
    if (*count >= limit)
        return say(c, "452 4.5.3 too many recipients\r\n");
    (*count)++;
    size_t len = strlen(mail->recipients);
    (void)snprintf(mail->recipients + len, sizeof(mail->recipients) - len,
                   "%s ", name);
    return say(c, "250 ok\r\n");
}

/* False: we are to stop. */
static bool wait_while_held(struct mini_relay *r)
{
    mutex_lock(&r->lock);
    r->held++;
    while (r->hold && !r->stopping)
        cond_wait(&r->changed, &r->lock);
    r->held--;
    bool go_on = !r->stopping;
    mutex_unlock(&r->lock);
    return go_on;
}

/* The message is there. */
static bool take_message(struct conn *c, const struct mini_mail *mail)
{
    struct mini_relay *r = c->relay;
    if (!wait_while_held(r) || strcmp(mail->sender, "drop-dot") == 0)
        return false;
    if (strncmp(mail->sender, "final-", 6) == 0)
        return say_code(c, mail->sender + 6);
    mutex_lock(&r->lock);
    if (r->mails < MINI_MAILS_MAX)
        r->mail[r->mails++] = *mail;
    mutex_unlock(&r->lock);
    return say(c, "250 taken\r\n");
}

static bool take_data(struct conn *c, const struct mini_mail *mail)
{
    const char *line;
    if (!say(c, "354 go ahead\r\n"))
        return false;
    while ((line = next_line(c)) != NULL && strcmp(line, ".") != 0)
        ;
    return line != NULL && take_message(c, mail);
}

/* One chunk with the whole message is what we get. */
static bool take_chunk(struct conn *c, const char *line,
                       const struct mini_mail *mail, bool wanted)
{
    unsigned bytes = 0;
    if (sscanf(line, "BDAT %u LAST", &bytes) != 1 || !skip(c, bytes))
        return false;
    return wanted ? take_message(c, mail) : say(c, "503 no recipients\r\n");
}

/* False: it is not, or no more, to be told so. */
static bool tell_slow(struct conn *c, const struct mini_mail *mail)
{
    struct mini_relay *r = c->relay;
    mutex_lock(&r->lock);
    bool tell = strcmp(mail->sender, "slow") == 0 && r->slow > 0;
    r->slow -= tell;
    r->told_slow += tell;
    mutex_unlock(&r->lock);
    return tell;
}

static bool take_mail(struct conn *c, const char *line, struct mini_mail *mail)
{
    *mail = (struct mini_mail){.connection = c->number};
    local_part(line, mail->sender, sizeof(mail->sender));
    if (strcmp(mail->sender, "drop-mail") == 0)
        return false;
    bool slow = tell_slow(c, mail);
    if (!slow && strncmp(mail->sender, "mail-", 5) != 0)
        return say(c, "250 ok\r\n");
    mail->connection = 0; /* what follows in the same flight is of no mail */
    return slow ? say(c, "451 4.7.28 slow down\r\n")
                : say_code(c, mail->sender + 5);
}

static bool offer(struct conn *c)
{
    mutex_lock(&c->relay->lock);
    const char *extensions = c->relay->extensions;
    mutex_unlock(&c->relay->lock);
    return say(c, "250-mini\r\n") && say(c, extensions) &&
           say(c, "250 HELP\r\n");
}

static void talk(struct conn *c)
{
    struct mini_mail mail = {0};
    unsigned recipients = 0;
    const char *line;
    bool ok = say(c, "220 mini\r\n");
    while (ok && (line = next_line(c)) != NULL) {
        if (strncmp(line, "MAIL", 4) == 0) {
            recipients = 0;
            ok = take_mail(c, line, &mail);
        } else if (strncmp(line, "RCPT", 4) == 0) {
            ok = take_rcpt(c, line, &mail, &recipients);
        } else if (strcmp(line, "DATA") == 0) {
            ok = recipients > 0 ? take_data(c, &mail)
                                : say(c, "503 no recipients\r\n");
        } else if (strncmp(line, "BDAT", 4) == 0) {
            ok = take_chunk(c, line, &mail, recipients > 0);
        } else if (strncmp(line, "EHLO", 4) == 0) {
            ok = offer(c);
        } else if (strcmp(line, "QUIT") == 0) {
            mutex_lock(&c->relay->lock);
            c->relay->quits++;
            mutex_unlock(&c->relay->lock);
            (void)say(c, "221 bye\r\n");
            ok = false;
        } else {
            ok = say(c, "250 ok\r\n"); /* RSET */
        }
    }
}

static void serve(void *arg)
{
    struct conn *c = arg;
    struct mini_relay *r = c->relay;
    mutex_lock(&r->lock);
    bool welcome = r->open < r->session_limit;
    if (welcome) {
        r->open++;
        r->greeted++;
    } else {
        r->refused++;
    }
    mutex_unlock(&r->lock);
    if (welcome)
        talk(c);
    else
        (void)say(c, "421 4.7.0 not now\r\n");
    mutex_lock(&r->lock);
    r->open -= welcome;
    (void)shutdown(c->fd, SHUT_RDWR);
    mutex_unlock(&r->lock);
}

static void accept_one(struct mini_relay *r)
{
    struct conn *c;
    struct err err;
    int fd = accept4(r->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    net_set_nodelay(fd);
    MEM_NEW(c);
    c->relay = r;
    c->fd = fd;
    mutex_lock(&r->lock);
    bool take = !r->stopping && r->conn_count < CONNECTIONS_MAX;
    if (take) {
        r->conns[r->conn_count++] = c;
        c->number = r->conn_count;
        take =
            thread_start(&c->thread, "mini-conn", serve, c, &err) == ERR_NONE;
    }
    mutex_unlock(&r->lock);
    if (!take && c->number == 0) {
        (void)close(fd);
        mem_free(c);
    }
}

static void listen_loop(void *arg)
{
    struct mini_relay *r = arg;
    for (;;) {
        struct pollfd pfd = {.fd = r->fd, .events = POLLIN};
        (void)poll(&pfd, 1, -1);
        mutex_lock(&r->lock);
        bool stopping = r->stopping;
        mutex_unlock(&r->lock);
        if (stopping)
            return;
        accept_one(r);
    }
}

struct mini_relay *mini_relay_start(unsigned port)
{
    struct mini_relay *r;
    struct net_address address;
    struct err err;
    MEM_NEW(r);
    r->recipient_limit = UINT32_MAX;
    r->session_limit = UINT32_MAX;
    r->extensions = "";
    if (net_address_parse(STR("127.0.0.1"), port, &address, &err) != ERR_NONE ||
        net_listen_tcp(&address, &r->fd, &err) != ERR_NONE) {
        mem_free(r);
        return NULL;
    }
    net_local_address(r->fd, &address);
    r->port = net_address_port(&address);
    mutex_init(&r->lock);
    cond_init(&r->changed);
    if (thread_start(&r->thread, "mini-relay", listen_loop, r, &err) !=
        ERR_NONE)
        abort();
    return r;
}

unsigned mini_relay_port(const struct mini_relay *r)
{
    return r->port;
}

void mini_relay_free(struct mini_relay *r)
{
    if (r == NULL)
        return;
    mutex_lock(&r->lock);
    r->stopping = true;
    cond_broadcast(&r->changed);
    (void)shutdown(r->fd, SHUT_RDWR); /* wakes the poll */
    for (unsigned i = 0; i < r->conn_count; i++)
        (void)shutdown(r->conns[i]->fd, SHUT_RDWR);
    mutex_unlock(&r->lock);
    thread_join(&r->thread);
    for (unsigned i = 0; i < r->conn_count; i++) {
        thread_join(&r->conns[i]->thread);
        (void)close(r->conns[i]->fd);
        mem_free(r->conns[i]);
    }
    (void)close(r->fd);
    cond_fini(&r->changed);
    mutex_fini(&r->lock);
    mem_free(r);
}

void mini_relay_limit_recipients(struct mini_relay *r, unsigned limit)
{
    mutex_lock(&r->lock);
    r->recipient_limit = limit;
    mutex_unlock(&r->lock);
}

void mini_relay_limit_sessions(struct mini_relay *r, unsigned limit)
{
    mutex_lock(&r->lock);
    r->session_limit = limit;
    mutex_unlock(&r->lock);
}

void mini_relay_offer(struct mini_relay *r, const char *extensions)
{
    mutex_lock(&r->lock);
    r->extensions = extensions;
    mutex_unlock(&r->lock);
}

void mini_relay_slow(struct mini_relay *r, unsigned times)
{
    mutex_lock(&r->lock);
    r->slow = times;
    mutex_unlock(&r->lock);
}

void mini_relay_hold(struct mini_relay *r, bool hold)
{
    mutex_lock(&r->lock);
    r->hold = hold;
    cond_broadcast(&r->changed);
    mutex_unlock(&r->lock);
}

static unsigned read_number(struct mini_relay *r, const unsigned *number)
{
    mutex_lock(&r->lock);
    unsigned value = *number;
    mutex_unlock(&r->lock);
    return value;
}

unsigned mini_relay_held(struct mini_relay *r)
{
    return read_number(r, &r->held);
}

unsigned mini_relay_connections(struct mini_relay *r)
{
    return read_number(r, &r->greeted);
}

unsigned mini_relay_refused(struct mini_relay *r)
{
    return read_number(r, &r->refused);
}

unsigned mini_relay_open(struct mini_relay *r)
{
    return read_number(r, &r->open);
}

unsigned mini_relay_mails(struct mini_relay *r)
{
    return read_number(r, &r->mails);
}

unsigned mini_relay_told_slow(struct mini_relay *r)
{
    return read_number(r, &r->told_slow);
}

unsigned mini_relay_quits(struct mini_relay *r)
{
    return read_number(r, &r->quits);
}

struct mini_mail mini_relay_mail(struct mini_relay *r, unsigned i)
{
    mutex_lock(&r->lock);
    struct mini_mail mail = r->mail[i];
    mutex_unlock(&r->lock);
    return mail;
}

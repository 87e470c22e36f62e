#ifndef TESTS_UNIT_SMTP_CHAOS_WIRE_H
#define TESTS_UNIT_SMTP_CHAOS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/random.h"
#include "tests/unit/smtp/chaos_relay.h"

/*
 * The connection of a random run, both ends of it: how many bytes go through
 * at once, and where it is cut. One at a time: libcurl's functions are
 * wrapped, and the wrappers have no place to keep it in.
 */
enum chaos_when {
    CHAOS_CUT_NEVER,
    CHAOS_CUT_GREETING, /* before the end of EHLO's reply; at: bytes of it */
    CHAOS_CUT_RECEIVED, /* at: bytes that the relay received */
    CHAOS_CUT_SENT,     /* at: bytes of replies that it sent */
    CHAOS_CUT_COMMANDS, /* at: commands that it answered */
};

enum chaos_how {
    CHAOS_FIN,   /* no more of it; what it did not read stays unread */
    CHAOS_CLOSE, /* the same, and it is gone: RST when there is more */
    CHAOS_RST,
    CHAOS_MUTE, /* reads nothing, says nothing */
};

struct chaos_wire {
    struct chaos_relay *relay;
    struct chaos_record *record;
    struct random random;
    int listener;
    int fd;        /* the relay's end; -1: none */
    int client_fd; /* libcurl's; -1: not seen yet */
    /* bytes at once, at most */
    uint64_t read_grain;
    uint64_t write_grain;
    uint64_t accept_grain; /* of the client's writes */
    uint64_t hear_grain;   /* of its reads */
    uint64_t window;       /* bytes on their way to the relay */
    unsigned again;        /* of 1000 writes and reads that could be done, so
                            * many are not */
    uint64_t put_off;      /* that were not */
    enum chaos_when when;
    enum chaos_how how;
    uint64_t at;
    bool says_last;    /* what it has to say, before it cuts */
    bool silent;       /* cut or mute */
    struct buf stream; /* what the client's socket took: the relay reads it */
    uint64_t drained;  /* bytes of it that came through the kernel */
    const void *retry_at; /* a write that was put off */
    size_t retry_len;
};

/* Listens, for all runs: a port of its own for each would soon be none. */
int chaos_wire_listen(void);
unsigned chaos_wire_port(int listener);

/* listener is borrowed. */
void chaos_wire_open(struct chaos_wire *w, struct chaos_relay *relay,
                     int listener);
void chaos_wire_close(struct chaos_wire *w);

/* The relay's turn. */
void chaos_wire_turn(struct chaos_wire *w);

/* Whether bytes are on their way, or the relay will say something. */
bool chaos_wire_is_busy(const struct chaos_wire *w);

/* The relay is there, and not mute. */
bool chaos_wire_is_open(const struct chaos_wire *w);

/* The relay ends the connection. */
void chaos_wire_hang_up(struct chaos_wire *w);

/* After the run: what the client's socket took and the relay did not read. */
void chaos_wire_overhear(struct chaos_wire *w);

#endif

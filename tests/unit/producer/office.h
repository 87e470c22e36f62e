#ifndef TESTS_PRODUCER_OFFICE_H
#define TESTS_PRODUCER_OFFICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "producer/producer.h"
#include "tests/support/scratch.h"

/*
 * A producer as it is, thread and sockets, with a spool in memory and nobody
 * who sends mail; and clients of it. Every wait has an end: PATIENCE_MS.
 */
#define PATIENCE_MS 20000

struct office {
    struct scratch scratch;
    struct metrics metrics;
    struct spool *spool;
    struct producer *producer;
    struct producer_listener listeners[3]; /* tcp, unix, udp */
    unsigned tcp_port;
    unsigned udp_port;
    char path[256];
    const char *address; /* of TCP and UDP */
};

/* Limits that get in nobody's way. */
struct producer_limits office_limits(void);

void office_open(struct office *o, const struct producer_limits *limits,
                 int64_t max_jobs);

/* On another address than 127.0.0.1. */
void office_open_at(struct office *o, const char *address);

/* Not started yet: then office_start(). */
void office_prepare(struct office *o, const struct producer_limits *limits,
                    int64_t max_jobs);
void office_start(struct office *o);

/* Stops it, if that was not done, and frees all. */
void office_close(struct office *o);

int64_t office_accepted(const struct office *o);

/* ---- clients ---- */

struct caller {
    int fd;
    struct buf in;
    size_t shown; /* bytes at the front that were returned last */
};

void caller_tcp(struct caller *c, const struct office *o);
void caller_unix(struct caller *c, const struct office *o);
void caller_udp(struct caller *c, const struct office *o);
void caller_udp_at(struct caller *c, const struct office *o,
                   const char *address_text);
void caller_close(struct caller *c);

/* All of it is sent. */
void caller_say(struct caller *c, const char *text);
void caller_say_bytes(struct caller *c, const void *data, size_t len);

/* With a length before it. */
void caller_say_frame(struct caller *c, const char *text);

/* Sends what goes within 100 ms; returns how much that was. */
size_t caller_push(struct caller *c, const void *data, size_t len);

/* No more comes from here, but replies are still read. */
void caller_finish(struct caller *c);

/* The next reply: a line, a frame, a datagram. Valid until the next. */
const char *caller_hear(struct caller *c);
const char *caller_hear_frame(struct caller *c);
const char *caller_hear_datagram(struct caller *c);

/* The next reply has this part. */
void caller_expect(struct caller *c, const char *part);

/* Whatever comes, until the connection ends. */
void caller_hear_all(struct caller *c);

/* There are no more replies: the connection was closed (or reset). */
void caller_expect_end(struct caller *c);

/* As above, but it must not have been reset. */
void caller_expect_clean_end(struct caller *c);

/* Nothing comes for so long. For what must not be: a short time will do. */
void caller_expect_silence(struct caller *c, int ms);

#endif

#ifndef APP_CLI_ENQUEUE_REPORT_H
#define APP_CLI_ENQUEUE_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "app/cli/cli.h"
#include "app/cli/reply.h"

/* What `enqueue` counts and says. */
#define ENQUEUE_REPORT_LINES_SHOWN 20

struct enqueue_report {
    struct cli *cli;
    bool is_terminal; /* progress is shown */
    bool progress_shown;
    int64_t began_ms; /* mono, as all times here */
    int64_t next_progress_ms;
    uint64_t accepted; /* duplicates too */
    uint64_t duplicates;
    uint64_t refused;
    uint64_t denied;    /* of the refused: this client may not */
    uint64_t temporary; /* the daemon said "not now" to the end */
    uint64_t complaints;
};

void enqueue_report_init(struct enqueue_report *r, struct cli *cli,
                         int64_t now_ms);

/* The daemon's last word on a line. */
void enqueue_report_accepted(struct enqueue_report *r,
                             const struct reply *reply);
void enqueue_report_refused(struct enqueue_report *r, uint64_t line,
                            const struct reply *reply);

/* A line that was not sent, and why. */
void enqueue_report_unfit(struct enqueue_report *r, uint64_t line,
                          const char *why);

/*
 * Draws anew if it is time. enqueue_report_next() is when that will be,
 * INT64_MAX when there is no terminal.
 */
void enqueue_report_progress(struct enqueue_report *r, int64_t now_ms,
                             size_t in_flight);
int64_t enqueue_report_next(const struct enqueue_report *r);

/* Ends the progress line, before anything else is written. */
void enqueue_report_clear(struct enqueue_report *r);

/* On stdout, with --json on stderr. */
void enqueue_report_summary(struct enqueue_report *r, int64_t now_ms);

/* From the counts alone: 75 before 65 before 0. */
int enqueue_report_exit_code(const struct enqueue_report *r);

#endif

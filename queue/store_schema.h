#ifndef QUEUE_STORE_SCHEMA_H
#define QUEUE_STORE_SCHEMA_H

/*
 * What the store says to SQLite, as text: the layout, the steps from older
 * layouts to it, and the statements. Inside of the store only.
 *
 * Layout 2. Times are milliseconds since 1970-01-01 UTC, states and priorities
 * are the numbers of enum job_state and enum job_priority.
 *
 * job     a row for each job that is remembered. seq is the order of
 *         acceptance. lane is route * 4 + priority. due_ms and limit_ms are
 *         set while it waits only, settled_ms once it is settled, so that the
 *         partial indexes have just the rows that somebody looks for. body is
 *         a STORE_BODY_ value. record is codec.h's.
 * body    the bytes of bodies below SPOOL_BODY_FILE_MIN: apart from job, so
 *         that a change of state does not write the message again.
 * route   names of all routes that jobs ever had.
 * key     idempotency keys. look_ms is when to look whether it can go, state
 *         the last one of a job that is forgotten, 0 while its row says it.
 * number  one row: the ledger, and whether the spool was closed in order. bytes
 *         are the cost of all jobs that have their body, kept that of settled
 *         ones among them.
 *
 * Layout 1 had neither kept nor job_kept, and records of codec version 1 only.
 */
#define STORE_APPLICATION_ID 0x50725370 /* "PrSp" */
#define STORE_VERSION        2
#define STORE_LANE_SHIFT     2

enum store_body {
    STORE_BODY_NONE,
    STORE_BODY_ROW,
    STORE_BODY_FILE,
};

/* Of a new spool. */
const char *store_schema_text(void);

/* From layout version to version + 1; NULL: there is no such step. */
const char *store_schema_step(int version);

/* Kept prepared as long as the store is open. */
enum store_statement {
    STORE_JOB_INSERT,
    STORE_JOB_UPDATE,
    STORE_JOB_DELETE,
    STORE_BODY_INSERT,
    STORE_BODY_DELETE,
    STORE_BODY_GONE, /* from the job's row */
    STORE_BODY_LENGTH,
    STORE_JOB_FIND,
    STORE_JOB_DUE_THEN,  /* those due at the same time */
    STORE_JOB_DUE_AFTER, /* those due later */
    STORE_NEXT_DUE_THEN,
    STORE_NEXT_DUE_AFTER,
    STORE_JOB_OVER,
    STORE_NEXT_LIMIT,
    STORE_JOB_MARKED,
    STORE_JOB_SETTLED,
    STORE_JOB_FAILED,
    STORE_JOB_KEPT,
    STORE_JOB_EACH,
    STORE_KEY_FIND,
    STORE_KEY_PUT,
    STORE_KEY_OLD,
    STORE_KEY_DELETE,
    STORE_KEY_LATER,
    STORE_NUMBERS_GET,
    STORE_NUMBERS_PUT,
    STORE_CLOSED_PUT,
    STORE_ROUTE_ADD,
    STORE_STATEMENT_COUNT
};

const char *store_schema_statement(enum store_statement statement);

#endif

#include "queue/store_schema.h"

#include <stddef.h>

#include "core/panic.h"
#include "queue/job.h"
#include "queue/spool.h"

/* Their numbers are in the files. */
_Static_assert(JOB_QUEUED == 0 && JOB_DEFERRED == 2 && JOB_DELIVERED == 3 &&
                   JOB_FAILED == 4 && JOB_EXPIRED == 5 && JOB_CANCELLED == 6 &&
                   JOB_HELD == 7 && JOB_STATE_COUNT == 8,
               "states changed: a new layout and a step to it");
_Static_assert(JOB_PRIORITY_HIGH == 0 && JOB_PRIORITY_NORMAL == 1 &&
                   JOB_PRIORITY_LOW == 2 &&
                   JOB_PRIORITY_COUNT <= 1 << STORE_LANE_SHIFT,
               "priorities changed: a new layout and a step to it");

#define TABLES                                                                 \
    "CREATE TABLE job("                                                        \
    " seq INTEGER PRIMARY KEY,"                                                \
    " id TEXT NOT NULL,"                                                       \
    " lane INTEGER NOT NULL,"                                                  \
    " state INTEGER NOT NULL,"                                                 \
    " due_ms INTEGER,"                                                         \
    " limit_ms INTEGER,"                                                       \
    " settled_ms INTEGER,"                                                     \
    " cost INTEGER NOT NULL,"                                                  \
    " marked INTEGER NOT NULL,"                                                \
    " body INTEGER NOT NULL,"                                                  \
    " body_bytes INTEGER NOT NULL,"                                            \
    " record BLOB NOT NULL);"                                                  \
    "CREATE TABLE body(seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL);"         \
    "CREATE TABLE route(number INTEGER PRIMARY KEY,"                           \
    " name TEXT NOT NULL UNIQUE);"                                             \
    "CREATE TABLE key("                                                        \
    " client TEXT NOT NULL, key TEXT NOT NULL, id TEXT NOT NULL,"              \
    " digest BLOB NOT NULL, at_ms INTEGER NOT NULL,"                           \
    " look_ms INTEGER NOT NULL, state INTEGER NOT NULL,"                       \
    " PRIMARY KEY(client, key)) WITHOUT ROWID;"                                \
    "CREATE TABLE number("                                                     \
    " one INTEGER PRIMARY KEY CHECK(one = 1),"                                 \
    " closed INTEGER NOT NULL, accepted INTEGER NOT NULL,"                     \
    " delivered INTEGER NOT NULL, failed INTEGER NOT NULL,"                    \
    " expired INTEGER NOT NULL, cancelled INTEGER NOT NULL,"                   \
    " waiting INTEGER NOT NULL, held INTEGER NOT NULL,"                        \
    " bytes INTEGER NOT NULL, remembered INTEGER NOT NULL,"                    \
    " keys INTEGER NOT NULL);"

/* After the rows, so that a step fills them in one go. */
#define INDEXES                                                                \
    "CREATE UNIQUE INDEX job_id ON job(id);"                                   \
    "CREATE INDEX job_due ON job(lane, due_ms) WHERE due_ms IS NOT NULL;"      \
    "CREATE INDEX job_limit ON job(limit_ms) WHERE limit_ms IS NOT NULL;"      \
    "CREATE INDEX job_marked ON job(marked) WHERE marked = 1;"                 \
    "CREATE INDEX job_settled ON job(settled_ms)"                              \
    " WHERE settled_ms IS NOT NULL AND state NOT IN (4, 5);"                   \
    "CREATE INDEX job_failed ON job(settled_ms)"                               \
    " WHERE settled_ms IS NOT NULL AND state IN (4, 5);"                       \
    "CREATE INDEX key_look ON key(look_ms);"

#define STAMP "PRAGMA application_id = 1349669744; PRAGMA user_version = 1;"

/* From layout 1. New spools go this way too. */
#define FROM_1                                                                 \
    "CREATE INDEX job_kept ON job(settled_ms)"                                 \
    " WHERE settled_ms IS NOT NULL AND state IN (4, 5) AND body <> 0;"         \
    "ALTER TABLE number ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;"           \
    "UPDATE number SET kept = (SELECT coalesce(sum(cost), 0) FROM job"         \
    " INDEXED BY job_kept"                                                     \
    " WHERE settled_ms IS NOT NULL AND state IN (4, 5) AND body <> 0);"        \
    "UPDATE number SET bytes = bytes + kept;"                                  \
    "PRAGMA user_version = 2;"
_Static_assert(STORE_APPLICATION_ID == 1349669744 && STORE_VERSION == 2,
               "STAMP and FROM_1 say them too");

const char *store_schema_text(void)
{
    return TABLES INDEXES
        "INSERT INTO number VALUES(1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);" STAMP
            FROM_1;
}

/*
 * Layout 0 had the body in the job's row, routes and priorities as words, no
 * marks, and the numbers as names and values. TABLES and INDEXES are those of
 * layout 1, and stay so here.
 */
static const char from_0[] =
    "ALTER TABLE job RENAME TO job_0;"
    "ALTER TABLE key RENAME TO key_0;"
    "ALTER TABLE number RENAME TO number_0;"
    "DROP INDEX IF EXISTS job_due;" TABLES
    "INSERT INTO route(name) SELECT DISTINCT route FROM job_0;"
    "INSERT INTO job SELECT j.seq, j.id,"
    " r.number * 4 + CASE j.priority WHEN 'high' THEN 0 WHEN 'low' THEN 2"
    " ELSE 1 END,"
    " j.state, j.due_ms, j.limit_ms, j.settled_ms, j.cost, 0,"
    " CASE WHEN j.body IS NOT NULL THEN 1 WHEN j.in_file THEN 2 ELSE 0 END,"
    " j.body_bytes, j.record"
    " FROM job_0 j JOIN route r ON r.name = j.route ORDER BY j.seq;"
    "INSERT INTO body SELECT seq, body FROM job_0 WHERE body IS NOT NULL"
    " ORDER BY seq;"
    "INSERT INTO key SELECT client, key, id, digest, at_ms, at_ms, 0"
    " FROM key_0;"
    "INSERT INTO number SELECT 1, 1,"
    " coalesce(max(value) FILTER (WHERE name = 'accepted'), 0),"
    " coalesce(max(value) FILTER (WHERE name = 'delivered'), 0),"
    " coalesce(max(value) FILTER (WHERE name = 'failed'), 0),"
    " coalesce(max(value) FILTER (WHERE name = 'expired'), 0),"
    " coalesce(max(value) FILTER (WHERE name = 'cancelled'), 0),"
    " coalesce(max(value) FILTER (WHERE name = 'waiting'), 0),"
    " coalesce(max(value) FILTER (WHERE name = 'held'), 0),"
    " coalesce(max(value) FILTER (WHERE name = 'bytes'), 0),"
    " coalesce(max(value) FILTER (WHERE name = 'remembered'), 0),"
    " coalesce(max(value) FILTER (WHERE name = 'keys'), 0)"
    " FROM number_0;"
    "DROP TABLE job_0; DROP TABLE key_0; DROP TABLE number_0;" INDEXES STAMP;

const char *store_schema_step(int version)
{
    static const char *const steps[STORE_VERSION] = {from_0, FROM_1};
    if (version < 0 || version >= STORE_VERSION)
        return NULL;
    return steps[version];
}

#define COLUMNS                                                                \
    "j.seq, j.id, j.lane, j.state, j.due_ms, j.limit_ms, j.settled_ms,"        \
    " j.cost, j.marked, j.body, j.body_bytes, j.record"

#define DUE                                                                    \
    "SELECT " COLUMNS ", b.bytes"                                              \
    " FROM job j INDEXED BY job_due LEFT JOIN body b ON b.seq = j.seq"         \
    " WHERE j.lane = ?1 AND j.due_ms IS NOT NULL"

#define NEXT_DUE                                                               \
    "SELECT due_ms, seq FROM job INDEXED BY job_due"                           \
    " WHERE lane = ?1 AND due_ms IS NOT NULL"

const char *store_schema_statement(enum store_statement statement)
{
    static const char *const texts[STORE_STATEMENT_COUNT] = {
        [STORE_JOB_INSERT] =
            "INSERT INTO job(seq, state, due_ms, limit_ms, settled_ms, cost,"
            " marked, body, body_bytes, record, lane, id)"
            " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        [STORE_JOB_UPDATE] =
            "UPDATE job SET state = ?2, due_ms = ?3, limit_ms = ?4,"
            " settled_ms = ?5, cost = ?6, marked = ?7, body = ?8,"
            " body_bytes = ?9, record = ?10 WHERE seq = ?1",
        [STORE_JOB_DELETE] = "DELETE FROM job WHERE seq = ?1",
        [STORE_BODY_INSERT] = "INSERT INTO body(seq, bytes) VALUES(?1, ?2)",
        [STORE_BODY_DELETE] = "DELETE FROM body WHERE seq = ?1",
        [STORE_BODY_GONE] = "UPDATE job SET body = 0 WHERE seq = ?1",
        [STORE_BODY_LENGTH] = "SELECT length(bytes) FROM body WHERE seq = ?1",
        [STORE_JOB_FIND] = "SELECT " COLUMNS " FROM job j WHERE id = ?1",
        /* Two each: SQLite does not seek to a rowid behind an inequality. */
        [STORE_JOB_DUE_THEN] =
            DUE " AND j.due_ms = ?2 AND j.seq > ?3 AND ?2 <= ?4"
                " ORDER BY j.seq",
        [STORE_JOB_DUE_AFTER] =
            DUE " AND j.due_ms > ?2 AND j.due_ms <= ?4"
                " AND ?3 IS NOT NULL ORDER BY j.due_ms, j.seq",
        [STORE_NEXT_DUE_THEN] =
            NEXT_DUE " AND due_ms = ?2 AND seq > ?3 ORDER BY seq LIMIT 1",
        [STORE_NEXT_DUE_AFTER] = NEXT_DUE " AND due_ms > ?2 AND ?3 IS NOT NULL"
                                          " ORDER BY due_ms, seq LIMIT 1",
        [STORE_JOB_OVER] =
            "SELECT " COLUMNS " FROM job j INDEXED BY job_limit"
            " WHERE limit_ms IS NOT NULL AND limit_ms <= ?1 ORDER BY limit_ms",
        [STORE_NEXT_LIMIT] =
            "SELECT limit_ms FROM job INDEXED BY job_limit"
            " WHERE limit_ms IS NOT NULL ORDER BY limit_ms LIMIT 1",
        [STORE_JOB_MARKED] =
            "SELECT " COLUMNS " FROM job j INDEXED BY job_marked"
            " WHERE marked = 1",
        [STORE_JOB_SETTLED] =
            "SELECT " COLUMNS " FROM job j INDEXED BY job_settled"
            " WHERE settled_ms IS NOT NULL AND state NOT IN (4, 5)"
            " AND settled_ms <= ?1 ORDER BY settled_ms",
        [STORE_JOB_FAILED] =
            "SELECT " COLUMNS " FROM job j INDEXED BY job_failed"
            " WHERE settled_ms IS NOT NULL AND state IN (4, 5)"
            " AND settled_ms <= ?1 ORDER BY settled_ms",
        [STORE_JOB_KEPT] =
            "SELECT " COLUMNS " FROM job j INDEXED BY job_kept"
            " WHERE settled_ms IS NOT NULL AND state IN (4, 5) AND body <> 0"
            " ORDER BY settled_ms",
        [STORE_JOB_EACH] =
            "SELECT " COLUMNS " FROM job j WHERE seq > ?1 ORDER BY seq",
        [STORE_KEY_FIND] = "SELECT id, digest, at_ms, state FROM key"
                           " WHERE client = ?1 AND key = ?2",
        [STORE_KEY_PUT] =
            "INSERT OR REPLACE INTO key(client, key, id, digest, at_ms,"
            " look_ms, state) VALUES(?1, ?2, ?3, ?4, ?5, ?5, ?6)",
        [STORE_KEY_OLD] =
            "SELECT k.client, k.key, k.look_ms,"
            " j.seq IS NOT NULL AND j.settled_ms IS NULL"
            " FROM key k INDEXED BY key_look LEFT JOIN job j ON j.id = k.id"
            " WHERE k.look_ms < ?1 ORDER BY k.look_ms LIMIT 1",
        [STORE_KEY_DELETE] = "DELETE FROM key WHERE client = ?1 AND key = ?2",
        [STORE_KEY_LATER] =
            "UPDATE key SET look_ms = ?3 WHERE client = ?1 AND key = ?2",
        [STORE_NUMBERS_GET] =
            "SELECT accepted, delivered, failed, expired, cancelled, waiting,"
            " held, bytes, remembered, keys, kept FROM number",
        [STORE_NUMBERS_PUT] =
            "UPDATE number SET accepted = ?1, delivered = ?2, failed = ?3,"
            " expired = ?4, cancelled = ?5, waiting = ?6, held = ?7,"
            " bytes = ?8, remembered = ?9, keys = ?10, kept = ?11",
        [STORE_CLOSED_PUT] = "UPDATE number SET closed = ?1",
        [STORE_ROUTE_ADD] =
            "INSERT INTO route(name) VALUES(?1) RETURNING number",
    };
    PANIC_IF(statement >= STORE_STATEMENT_COUNT);
    return texts[statement];
}

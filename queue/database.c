#include "queue/database.h"

#include <errno.h>
#include <string.h>

#include <sqlite3.h>

#include "core/clock.h"
#include "core/mem.h"
#include "core/panic.h"
#include "queue/store_file.h"

/*
 * The log is copied back into the database by us, after a commit, when it has
 * grown by LOG_BYTES: SQLite's own checkpoints hide their errors. If they fail
 * until it has LOG_BYTES_MAX, nothing more is taken.
 */
#define PAGE_SIZE     "8192"
#define CACHE_KIB     "8192"
#define LOG_BYTES     (INT64_C(8) << 20)
#define LOG_BYTES_MAX (INT64_C(64) << 20)
#define LOG_KEEP      "16777216" /* what stays of a log that was larger */
#define LOG_BYTES_LOW (INT64_C(256) << 10) /* on a disk with little room */
#define LOG_KEEP_LOW  "1048576"            /* likewise */

/* How often a disk that is full is asked to take the log. */
#define FULL_PAUSE_MS 100

#define LOG_HEADER   32 /* bytes; then frames of FRAME_HEADER and a page */
#define FRAME_HEADER 24
#define LOG_SALT_AT  16
#define LOG_SALT_LEN 8

struct database {
    sqlite3 *handle;
    char *path;
    sqlite3_stmt *begin;
    sqlite3_stmt *commit;
    sqlite3_stmt *rollback;
    bool open;          /* a transaction is, also if SQLite ended it */
    struct err failure; /* of the transaction: it cannot be committed */

    /* The log: see cut_log(). */
    int64_t page_bytes;
    bool log_known;     /* log_frames is true */
    int64_t log_frames; /* that are committed */
    int64_t log_tried;  /* log_frames at the last checkpoint */
    bool log_copied;    /* all of it is in the database */
    bool log_dirty;     /* cut_log() is still to do */
    bool log_short;     /* see database_keep_log_short() */
    bool was_full;      /* the log could not grow, or so it seems */
    int64_t full_at_ms; /* monotonic: when that was last answered */
    unsigned char log_salt[LOG_SALT_LEN]; /* when it was copied */
};

/* ---- errors ---- */

static int errno_of(sqlite3_file *file)
{
    int reason = 0;
    if (file != NULL && file->pMethods != NULL)
        (void)file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO,
                                           &reason);
    return reason;
}

static sqlite3_file *file_of(struct database *db, int which)
{
    sqlite3_file *file = NULL;
    (void)sqlite3_file_control(db->handle, "main", which, &file);
    return file != NULL && file->pMethods != NULL ? file : NULL;
}

/* The connection's is of the last call that failed, whichever that was. */
static int system_errno(struct database *db)
{
    const int files[] = {SQLITE_FCNTL_JOURNAL_POINTER,
                         SQLITE_FCNTL_FILE_POINTER};
    int reason = sqlite3_system_errno(db->handle);
    for (size_t i = 0; i < 2 && !store_file_is_full(reason); i++) {
        int last = errno_of(file_of(db, files[i]));
        if (reason == 0 || store_file_is_full(last))
            reason = last;
    }
    return reason;
}

static enum err_code full(struct database *db, struct err *err)
{
    db->was_full = true;
    return err_set(err, ERR_FULL,
                   "the disk of the spool %s is full: make room there",
                   db->path);
}

static enum err_code io_error(struct database *db, struct err *err)
{
    int reason = system_errno(db);
    if (store_file_is_full(reason))
        return full(db, err);
    (void)err_system(err, reason, "the spool %s: %s", db->path,
                     sqlite3_errmsg(db->handle));
    if (err != NULL)
        err->code = ERR_SYSTEM;
    return ERR_SYSTEM;
}

enum err_code database_damaged(const struct database *db, const char *what,
                               struct err *err)
{
    return err_set(err, ERR_INVALID,
                   "the spool %s is damaged (%s): stop the daemon, look with "
                   "postriderd --verify, and put a copy back",
                   db->path, what);
}

/* SQLite calls it damage when the disk does not give a page. */
static bool is_unread(struct database *db)
{
    return errno_of(file_of(db, SQLITE_FCNTL_FILE_POINTER)) == EIO ||
           errno_of(file_of(db, SQLITE_FCNTL_JOURNAL_POINTER)) == EIO;
}

static enum err_code error_of(struct database *db, int rc, struct err *err)
{
    const char *words = sqlite3_errmsg(db->handle);
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return full(db, err);
    case SQLITE_IOERR:
        return io_error(db, err);
    case SQLITE_CORRUPT:
        if (!is_unread(db))
            return database_damaged(db, words, err);
        (void)err_system(err, EIO, "cannot read the spool %s", db->path);
        return ERR_SYSTEM;
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
        return database_damaged(db, words, err);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(err, ERR_EXISTS,
                       "the spool %s is in use by another program: end it (an "
                       "open sqlite3 is enough to be in the way)",
                       db->path);
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
        return err_set(err, ERR_DENIED,
                       "the spool %s: %s: give it, its log and its directory "
                       "to the user that runs the daemon",
                       db->path, words);
    case SQLITE_CONSTRAINT:
        return err_set(err, ERR_EXISTS, "the spool %s: %s", db->path, words);
    default:
        return err_set(err, ERR_SYSTEM, "the spool %s: %s", db->path, words);
    }
}

/*
 * Within a transaction anything but a constraint makes it one that cannot be
 * committed: SQLite may have rolled it back by itself, and would commit each
 * further statement alone.
 */
static enum err_code failed(struct database *db, int rc, struct err *err)
{
    struct err own;
    enum err_code code = error_of(db, rc, &own);
    if (db->open && code != ERR_EXISTS && db->failure.code == ERR_NONE)
        db->failure = own;
    if (err != NULL)
        *err = own;
    return code;
}

/* ---- statements ---- */

static sqlite3_stmt *inner(struct statement *st)
{
    return (sqlite3_stmt *)(void *)st;
}

static enum err_code prepare(struct database *db, const char *text,
                             sqlite3_stmt **out, struct err *err)
{
    int rc = sqlite3_prepare_v3(db->handle, text, -1, SQLITE_PREPARE_PERSISTENT,
                                out, NULL);
    return rc == SQLITE_OK ? ERR_NONE : error_of(db, rc, err);
}

enum err_code database_prepare(struct database *db, const char *text,
                               struct statement **out, struct err *err)
{
    sqlite3_stmt *st = NULL;
    enum err_code code = prepare(db, text, &st, err);
    if (code == ERR_NONE)
        *out = (struct statement *)(void *)st;
    return code;
}

void statement_finish(struct statement *st)
{
    (void)sqlite3_finalize(inner(st));
}

void statement_bind_int(struct statement *st, int at, int64_t value)
{
    PANIC_IF(sqlite3_bind_int64(inner(st), at, value) != SQLITE_OK);
}

void statement_bind_null(struct statement *st, int at)
{
    PANIC_IF(sqlite3_bind_null(inner(st), at) != SQLITE_OK);
}

void statement_bind_text(struct statement *st, int at, const char *text)
{
    PANIC_IF(sqlite3_bind_text(inner(st), at, text, -1, SQLITE_STATIC) !=
             SQLITE_OK);
}

void statement_bind_bytes(struct statement *st, int at, struct str bytes)
{
    PANIC_IF(sqlite3_bind_blob64(inner(st), at,
                                 bytes.len == 0 ? "" : bytes.data, bytes.len,
                                 SQLITE_STATIC) != SQLITE_OK);
}

enum err_code database_step(struct database *db, struct statement *st,
                            bool *row, struct err *err)
{
    *row = false;
    if (db->failure.code != ERR_NONE) {
        if (err != NULL)
            *err = db->failure;
        return db->failure.code;
    }
    int rc = sqlite3_step(inner(st));
    *row = rc == SQLITE_ROW;
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        return ERR_NONE;
    return failed(db, rc, err);
}

void statement_reset(struct statement *st)
{
    (void)sqlite3_reset(inner(st));
}

enum err_code database_run(struct database *db, struct statement *st,
                           struct err *err)
{
    bool row;
    enum err_code code = database_step(db, st, &row, err);
    statement_reset(st);
    return code;
}

bool statement_is_null(struct statement *st, int column)
{
    return sqlite3_column_type(inner(st), column) == SQLITE_NULL;
}

int64_t statement_int(struct statement *st, int column)
{
    return sqlite3_column_int64(inner(st), column);
}

struct str statement_bytes(struct statement *st, int column)
{
    const char *data = sqlite3_column_blob(inner(st), column);
    return str_of(data, (size_t)sqlite3_column_bytes(inner(st), column));
}

enum err_code database_execute(struct database *db, const char *text,
                               struct err *err)
{
    PANIC_IF(db->failure.code != ERR_NONE);
    int rc = sqlite3_exec(db->handle, text, NULL, NULL, NULL);
    return rc == SQLITE_OK ? ERR_NONE : failed(db, rc, err);
}

enum err_code database_ask(struct database *db, const char *text, int64_t none,
                           int64_t *out, struct err *err)
{
    struct statement *st = NULL;
    bool row = false;
    enum err_code code = database_prepare(db, text, &st, err);
    if (code != ERR_NONE)
        return code;
    code = database_step(db, st, &row, err);
    *out = row ? statement_int(st, 0) : none;
    statement_finish(st);
    return code;
}

/* ---- the log ---- */

static int committed(void *ctx, sqlite3 *handle, const char *name, int frames)
{
    struct database *db = ctx;
    (void)handle;
    (void)name;
    db->log_known = true;
    db->log_frames = frames;
    db->log_copied = false;
    if (frames < db->log_tried)
        db->log_tried = 0;
    return SQLITE_OK;
}

/* Changes each time that SQLite begins the log from its start again. */
static bool read_salt(struct database *db, unsigned char *salt)
{
    sqlite3_file *log = file_of(db, SQLITE_FCNTL_JOURNAL_POINTER);
    return log != NULL && log->pMethods->xRead(log, salt, LOG_SALT_LEN,
                                               LOG_SALT_AT) == SQLITE_OK;
}

static int64_t log_bytes(const struct database *db)
{
    return LOG_HEADER + db->log_frames * (FRAME_HEADER + db->page_bytes);
}

/*
 * A commit whose sync failed may be in the file in full. SQLite itself has
 * forgotten it and will write over it, but whoever opens the spool next, after
 * a crash, would believe it: so its first frame is made invalid, and synced.
 */
static void cut_log(struct database *db)
{
    static const unsigned char nothing[FRAME_HEADER] = {0};
    unsigned char salt[LOG_SALT_LEN];
    sqlite3_file *log = file_of(db, SQLITE_FCNTL_JOURNAL_POINTER);
    sqlite3_int64 size = 0;
    sqlite3_int64 at = log_bytes(db);
    db->log_dirty = false;
    if (log == NULL || log->pMethods->xFileSize(log, &size) != SQLITE_OK)
        return;
    /* Begun again since all of it was copied: nothing in it is needed. */
    if (db->log_copied && read_salt(db, salt) &&
        memcmp(salt, db->log_salt, LOG_SALT_LEN) != 0)
        at = LOG_HEADER;
    if (size <= at)
        return;
    db->log_dirty =
        log->pMethods->xWrite(log, nothing, FRAME_HEADER, at) != SQLITE_OK ||
        log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) != SQLITE_OK;
}

static enum err_code copy_log(struct database *db, struct err *err)
{
    int frames = 0;
    int copied = 0;
    db->log_tried = db->log_frames;
    int rc = sqlite3_wal_checkpoint_v2(
        db->handle, "main", SQLITE_CHECKPOINT_PASSIVE, &frames, &copied);
    if (rc != SQLITE_OK)
        return error_of(db, rc, err);
    db->log_known = true;
    if (frames > 0)
        db->log_frames = frames;
    db->log_copied = frames == copied && read_salt(db, db->log_salt);
    return ERR_NONE;
}

enum err_code database_checkpoint(struct database *db, struct err *err)
{
    return copy_log(db, err);
}

static bool log_has_grown(const struct database *db)
{
    return (db->log_frames - db->log_tried) * db->page_bytes >=
           (db->log_short ? LOG_BYTES_LOW : LOG_BYTES);
}

int64_t database_uncopied_bytes(const struct database *db)
{
    return db->log_copied ? 0 : db->log_frames * db->page_bytes;
}

int64_t database_unused_bytes(struct database *db)
{
    int64_t pages = 0;
    PANIC_IF(db->open);
    if (database_ask(db, "PRAGMA freelist_count", 0, &pages, NULL) != ERR_NONE)
        return 0;
    return pages * db->page_bytes;
}

void database_keep_log_short(struct database *db, bool is_short)
{
    PANIC_IF(db->open);
    if (is_short == db->log_short)
        return;
    db->log_short = is_short;
    /* Its file is cut when the log is begun again. */
    (void)sqlite3_exec(db->handle,
                       is_short ? "PRAGMA journal_size_limit = " LOG_KEEP_LOW
                                : "PRAGMA journal_size_limit = " LOG_KEEP,
                       NULL, NULL, NULL);
    if (is_short && database_uncopied_bytes(db) > 0)
        (void)copy_log(db, NULL);
}

/* A log that cannot grow any more is begun again once it is copied. */
static void relieve_log(struct database *db)
{
    int64_t now_ms = clock_mono_ms(clock_system());
    if (!db->was_full || now_ms < db->full_at_ms + FULL_PAUSE_MS)
        return;
    db->was_full = false;
    db->full_at_ms = now_ms;
    if (!db->log_copied)
        (void)copy_log(db, NULL);
}

/* ---- transactions ---- */

static enum err_code run_plainly(struct database *db, sqlite3_stmt *st,
                                 struct err *err)
{
    int rc = sqlite3_step(st);
    enum err_code code = rc == SQLITE_DONE ? ERR_NONE : error_of(db, rc, err);
    (void)sqlite3_reset(st);
    return code;
}

void database_rollback(struct database *db)
{
    if (!sqlite3_get_autocommit(db->handle))
        (void)run_plainly(db, db->rollback, NULL);
    db->open = false;
    db->failure.code = ERR_NONE;
}

enum err_code database_begin(struct database *db, struct err *err)
{
    enum err_code code = ERR_NONE;
    PANIC_IF(db->open);
    if (db->log_dirty)
        cut_log(db);
    relieve_log(db);
    /* Of a log that was there, cut_log() has to know where it ends. */
    if (!db->log_known || (!db->log_copied && log_bytes(db) >= LOG_BYTES_MAX))
        code = database_checkpoint(db, err);
    if (code == ERR_NONE)
        code = run_plainly(db, db->begin, err);
    db->open = code == ERR_NONE;
    return code;
}

enum err_code database_commit(struct database *db, struct err *err)
{
    enum err_code code = db->failure.code;
    PANIC_IF(!db->open);
    if (code != ERR_NONE && err != NULL)
        *err = db->failure;
    if (code == ERR_NONE)
        code = run_plainly(db, db->commit, err);
    if (code != ERR_NONE) {
        database_rollback(db);
        cut_log(db);
        return code;
    }
    db->open = false;
    /* It is committed, whatever comes of this; it is tried again later. */
    if (log_has_grown(db))
        (void)copy_log(db, NULL);
    return ERR_NONE;
}

/* ---- open, close ---- */

/* page_size and auto_vacuum are for new files. */
static const char settings[] =
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA page_size = " PAGE_SIZE ";"
    "PRAGMA auto_vacuum = NONE; PRAGMA synchronous = FULL;"
    "PRAGMA cache_size = -" CACHE_KIB "; PRAGMA temp_store = MEMORY;"
    "PRAGMA mmap_size = 0; PRAGMA secure_delete = FAST;"
    "PRAGMA journal_size_limit = " LOG_KEEP "; PRAGMA trusted_schema = OFF;";

enum err_code database_open(struct database **out, const char *path,
                            bool keep_log, struct err *err)
{
    struct database *db;
    MEM_NEW(db);
    db->path = mem_strdup(str_from(path));
    int rc = sqlite3_open_v2(path, &db->handle,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                                 SQLITE_OPEN_EXRESCODE,
                             NULL);
    enum err_code code = rc == SQLITE_OK ? ERR_NONE : error_of(db, rc, err);
    if (code == ERR_NONE) {
        database_keep_log(db, keep_log);
        (void)sqlite3_wal_hook(db->handle, committed, db);
        code = database_execute(db, settings, err);
    }
    if (code == ERR_NONE)
        code = prepare(db, "BEGIN IMMEDIATE", &db->begin, err);
    if (code == ERR_NONE)
        code = prepare(db, "COMMIT", &db->commit, err);
    if (code == ERR_NONE)
        code = prepare(db, "ROLLBACK", &db->rollback, err);
    if (code == ERR_NONE)
        *out = db;
    else
        database_close(db);
    return code;
}

void database_close(struct database *db)
{
    if (db == NULL)
        return;
    (void)sqlite3_finalize(db->begin);
    (void)sqlite3_finalize(db->commit);
    (void)sqlite3_finalize(db->rollback);
    PANIC_IF(sqlite3_close(db->handle) == SQLITE_BUSY);
    mem_free(db->path);
    mem_free(db);
}

void database_keep_log(struct database *db, bool keep)
{
    (void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
                            keep ? 1 : 0, NULL);
}

enum err_code database_use_log(struct database *db, struct err *err)
{
    struct statement *st = NULL;
    bool row = false;
    enum err_code code =
        database_prepare(db, "PRAGMA journal_mode = WAL", &st, err);
    if (code != ERR_NONE)
        return code;
    code = database_step(db, st, &row, err);
    if (code == ERR_NONE &&
        !(row && str_equal(statement_bytes(st, 0), STR("wal"))))
        code = err_set(err, ERR_SYSTEM,
                       "the spool %s cannot have a write-ahead log there",
                       db->path);
    statement_finish(st);
    if (code == ERR_NONE)
        code = database_ask(db, "PRAGMA page_size", 0, &db->page_bytes, err);
    return code;
}

void database_make_unsafe(struct database *db)
{
    (void)sqlite3_exec(db->handle, "PRAGMA synchronous = OFF", NULL, NULL,
                       NULL);
}

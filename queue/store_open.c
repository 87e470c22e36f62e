#include <string.h>

#include "core/mem.h"
#include "core/panic.h"
#include "queue/bodies.h"
#include "queue/store_inner.h"

static enum err_code check_version(struct store *s, int64_t *version,
                                   struct err *err)
{
    int64_t application = 0;
    int64_t tables = 0;
    enum err_code code =
        database_ask(s->db, "PRAGMA application_id", 0, &application, err);
    if (code == ERR_NONE)
        code = database_ask(s->db, "PRAGMA user_version", 0, version, err);
    if (code == ERR_NONE)
        code = database_ask(s->db, "SELECT count(*) FROM sqlite_schema", 0,
                            &tables, err);
    if (code != ERR_NONE)
        return code;
    s->file.is_new = application == 0 && *version == 0 && tables == 0;
    if (s->file.is_new)
        return ERR_NONE;
    if (application != STORE_APPLICATION_ID)
        return err_set(err, ERR_INVALID,
                       "%s is a database of another program: set spool.path "
                       "to a file of its own",
                       s->file.path);
    if (*version < 0 || *version > STORE_VERSION)
        return err_set(err, ERR_INVALID,
                       "the spool %s has layout %lld and this program knows "
                       "only %d: start the newer program that wrote it",
                       s->file.path, (long long)*version, STORE_VERSION);
    return ERR_NONE;
}

/* New, or older: all or nothing. */
static enum err_code bring_up(struct store *s, int64_t version, struct err *err)
{
    enum err_code code = database_begin(s->db, err);
    if (code != ERR_NONE)
        return code;
    if (s->file.is_new)
        code = database_execute(s->db, store_schema_text(), err);
    else
        for (; version < STORE_VERSION && code == ERR_NONE; version++)
            code =
                database_execute(s->db, store_schema_step((int)version), err);
    if (code == ERR_NONE)
        return database_commit(s->db, err);
    database_rollback(s->db);
    return code;
}

/* The bodies would be swept as orphans, and nobody would know. */
static enum err_code check_new(struct store *s, const char *path,
                               struct err *err)
{
    char *directory = bodies_directory(path);
    bool any = false;
    enum err_code code = bodies_any(directory, &any, err);
    if (code == ERR_NONE && any)
        code = err_set(err, ERR_INVALID,
                       "the spool %s is %s, but there are mails of it in %s: "
                       "put the file back that belongs to them, or move that "
                       "directory away to begin anew",
                       s->file.path, s->file.made ? "missing" : "empty",
                       directory);
    mem_free(directory);
    return code;
}

/*
 * SQLite reads what is behind the end of a page that was cut as zeros. With a
 * log the file may be short: copying it was interrupted.
 */
static enum err_code check_size(struct store *s, struct err *err)
{
    int64_t pages = 0;
    int64_t page_bytes = 0;
    int64_t size_bytes = 0;
    bool has = false;
    enum err_code code =
        database_ask(s->db, "PRAGMA page_count", 0, &pages, err);
    if (code == ERR_NONE)
        code = database_ask(s->db, "PRAGMA page_size", 0, &page_bytes, err);
    if (code == ERR_NONE)
        code = store_file_size(&s->file, &size_bytes, err);
    if (code != ERR_NONE || pages * page_bytes <= size_bytes)
        return code;
    code = store_file_log_has(&s->file, page_bytes, size_bytes / page_bytes + 1,
                              pages, &has, err);
    if (code != ERR_NONE || has)
        return code;
    char what[96];
    (void)snprintf(what, sizeof(what), "its file ends at byte %lld, not %lld",
                   (long long)size_bytes, (long long)(pages * page_bytes));
    return database_damaged(s->db, what, err);
}

/* What was accepted last may be in the log only. */
static enum err_code check_log(struct store *s, struct err *err)
{
    int64_t closed = 0;
    enum err_code code =
        database_ask(s->db, "SELECT closed FROM number", -1, &closed, err);
    if (code != ERR_NONE)
        return code;
    if (closed < 0)
        return database_damaged(s->db, "its numbers are missing", err);
    s->was_closed = closed != 0;
    if (s->was_closed || s->file.log == STORE_LOG_GOOD)
        return ERR_NONE;
    return err_set(err, ERR_INVALID,
                   "the spool %s was not closed, and its log %s, with the last "
                   "jobs in it, is %s: put it back, or live with the loss: "
                   "sqlite3 %s 'UPDATE number SET closed = 1'",
                   s->file.path, s->file.log_path,
                   s->file.log == STORE_LOG_MISSING ? "missing" : "damaged",
                   s->file.path);
}

static enum err_code prepare_all(struct store *s, struct err *err)
{
    enum err_code code =
        database_ask(s->db, "SELECT coalesce(max(seq), 0) + 1 FROM job", 1,
                     &s->next_seq, err);
    for (unsigned i = 0; i < STORE_STATEMENT_COUNT && code == ERR_NONE; i++)
        code = database_prepare(s->db, store_schema_statement(i),
                                &s->statements[i], err);
    return code;
}

/* ---- routes ---- */

static void know_route(struct store *s, int64_t number, struct str name)
{
    for (size_t i = 0; i < s->route_count; i++)
        if (str_equal(str_from(s->route_names[i]), name)) {
            s->routes[i] = number;
            return;
        }
    s->strangers =
        mem_realloc(s->strangers, (s->stranger_count + 1) * sizeof(int64_t));
    s->strangers[s->stranger_count++] = number;
}

/* Names only: how many jobs they have is nobody's business here. */
static enum err_code load_routes(struct store *s,
                                 const struct store_options *options,
                                 struct err *err)
{
    struct statement *st = NULL;
    bool row = true;
    s->route_names = options->routes;
    s->route_count = options->route_count;
    s->routes = mem_calloc(s->route_count + 1, sizeof(int64_t));
    enum err_code code = database_prepare(
        s->db, "SELECT number, name FROM route ORDER BY number", &st, err);
    while (code == ERR_NONE && row) {
        code = database_step(s->db, st, &row, err);
        if (row)
            know_route(s, statement_int(st, 0), statement_bytes(st, 1));
    }
    statement_finish(st);
    return code;
}

static enum err_code prepare_due(struct store *s, struct err *err)
{
    enum err_code code = ERR_NONE;
    s->due = mem_calloc(s->stranger_count + 1, sizeof(*s->due));
    for (size_t i = 0; i <= s->stranger_count && code == ERR_NONE; i++) {
        code =
            database_prepare(s->db, store_schema_statement(STORE_JOB_DUE_THEN),
                             &s->due[i].then, err);
        if (code == ERR_NONE)
            code = database_prepare(s->db,
                                    store_schema_statement(STORE_JOB_DUE_AFTER),
                                    &s->due[i].after, err);
    }
    return code;
}

/* Numbers begin with 1: 0 is a route that no job ever had. */
static enum err_code add_routes(struct store *s, struct err *err)
{
    enum err_code code = ERR_NONE;
    for (size_t i = 0; i < s->route_count && code == ERR_NONE; i++) {
        struct statement *st = s->statements[STORE_ROUTE_ADD];
        bool row = false;
        if (s->routes[i] != 0)
            continue;
        statement_bind_text(st, 1, s->route_names[i]);
        code = database_step(s->db, st, &row, err);
        if (row)
            s->routes[i] = statement_int(st, 0);
        statement_reset(st);
    }
    return code;
}

/* ---- open, close ---- */

static enum err_code put_closed(struct store *s, bool closed, struct err *err)
{
    struct statement *st = s->statements[STORE_CLOSED_PUT];
    statement_bind_int(st, 1, closed ? 1 : 0);
    return database_run(s->db, st, err);
}

/* All or nothing, also of what is known of the routes. */
static enum err_code mark_open(struct store *s, struct err *err)
{
    size_t bytes = s->route_count * sizeof(*s->routes);
    enum err_code code = database_begin(s->db, err);
    if (code != ERR_NONE)
        return code;
    int64_t *before = mem_alloc(bytes);
    memcpy(before, s->routes, bytes);
    code = add_routes(s, err);
    if (code == ERR_NONE)
        code = put_closed(s, false, err);
    if (code == ERR_NONE)
        code = database_commit(s->db, err);
    else
        database_rollback(s->db);
    if (code != ERR_NONE)
        memcpy(s->routes, before, bytes);
    mem_free(before);
    return code;
}

enum err_code store_take(struct store *s, struct err *err)
{
    if (s->is_taken)
        return ERR_NONE;
    enum err_code code = mark_open(s, err);
    /* The mark has to be in the file itself, and the log gets short. */
    if (code == ERR_NONE)
        code = database_checkpoint(s->db, err);
    s->is_taken = code == ERR_NONE;
    return code;
}

/* What a disk says that may take it later. */
static bool can_wait(enum err_code code)
{
    return code == ERR_FULL || code == ERR_SYSTEM;
}

static enum err_code open_for_use(struct store *s,
                                  const struct store_options *options,
                                  struct err *err)
{
    int64_t version = 0;
    enum err_code code = store_file_settle_log(&s->file, err);
    if (code == ERR_NONE)
        code = database_open(&s->db, s->file.path,
                             s->file.log != STORE_LOG_MISSING, err);
    if (code == ERR_NONE)
        code = check_version(s, &version, err);
    if (code == ERR_NONE && s->file.is_new)
        code = check_new(s, options->path, err);
    else if (code == ERR_NONE && version < STORE_VERSION)
        code = check_size(s, err);
    if (code == ERR_NONE && version < STORE_VERSION)
        code = bring_up(s, version, err);
    if (code == ERR_NONE)
        code = check_log(s, err);
    if (code == ERR_NONE)
        code = check_size(s, err);
    if (code == ERR_NONE)
        code = database_use_log(s->db, err);
    if (code == ERR_NONE)
        code = prepare_all(s, err);
    if (code == ERR_NONE)
        code = load_routes(s, options, err);
    if (code == ERR_NONE)
        code = prepare_due(s, err);
    if (code != ERR_NONE)
        return code;
    code = store_take(s, err);
    return can_wait(code) && !s->file.is_new ? ERR_NONE : code;
}

static enum err_code open_for_reading(struct store *s, struct err *err)
{
    const struct store_options none = {.path = NULL};
    int64_t version = 0;
    enum err_code code = database_open(&s->db, s->file.path,
                                       s->file.log != STORE_LOG_MISSING, err);
    if (code == ERR_NONE)
        code = check_version(s, &version, err);
    if (code == ERR_NONE && version < STORE_VERSION)
        code = err_set(
            err, ERR_INVALID, "the spool %s has %s: start the daemon once",
            s->file.path, s->file.is_new ? "nothing in it" : "an older layout");
    if (code == ERR_NONE)
        code = check_log(s, err);
    if (code == ERR_NONE)
        code = check_size(s, err);
    if (code == ERR_NONE)
        code = prepare_all(s, err);
    if (code == ERR_NONE)
        code = load_routes(s, &none, err);
    if (code == ERR_NONE)
        code = prepare_due(s, err);
    return code;
}

static void dispose(struct store *s)
{
    for (size_t i = 0; s->due != NULL && i <= s->stranger_count; i++) {
        statement_finish(s->due[i].then);
        statement_finish(s->due[i].after);
    }
    for (unsigned i = 0; i < STORE_STATEMENT_COUNT; i++)
        statement_finish(s->statements[i]);
    database_close(s->db);
    store_file_close(&s->file);
    mem_free(s->due);
    mem_free(s->routes);
    mem_free(s->strangers);
    mem_free(s);
}

/* options NULL: for reading. */
static enum err_code open_store(struct store **out, const char *path,
                                const struct store_options *options,
                                struct err *err)
{
    struct store *s;
    MEM_NEW(s);
    enum err_code code = store_file_open(&s->file, path, options != NULL, err);
    if (code == ERR_NONE)
        code = options == NULL ? open_for_reading(s, err)
                               : open_for_use(s, options, err);
    if (code == ERR_NONE) {
        *out = s;
    } else {
        if (s->file.fd >= 0)
            store_file_unmake(&s->file);
        dispose(s);
    }
    return code;
}

enum err_code store_open(struct store **out,
                         const struct store_options *options, struct err *err)
{
    PANIC_IF(options->route_count == 0);
    return open_store(out, options->path, options, err);
}

enum err_code store_open_stopped(struct store **out, const char *path,
                                 struct err *err)
{
    return open_store(out, path, NULL, err);
}

bool store_is_new(const struct store *s)
{
    return s->file.is_new;
}

void store_close_unchanged(struct store *s)
{
    if (s != NULL)
        dispose(s);
}

/* If the mark cannot be set, the log stays and says all. */
void store_close(struct store *s)
{
    if (s == NULL)
        return;
    bool marked = false;
    database_rollback(s->db);
    database_keep_log(s->db, true);
    if (database_begin(s->db, NULL) == ERR_NONE) {
        if (put_closed(s, true, NULL) == ERR_NONE)
            marked = database_commit(s->db, NULL) == ERR_NONE;
        else
            database_rollback(s->db);
    }
    database_keep_log(s->db, !marked);
    dispose(s);
}

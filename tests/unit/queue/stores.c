#include "tests/unit/queue/stores.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "core/mem.h"
#include "core/panic.h"
#include "queue/codec.h"

static const char *const two_routes[] = {"default", "other"};

void stored_init(struct stored *s)
{
    *s = (struct stored){.store = NULL};
    scratch_open(&s->scratch);
    (void)snprintf(s->path, sizeof(s->path), "%s",
                   scratch_path(&s->scratch, "spool.db"));
}

static enum err_code try_with(struct stored *s, const char *const *routes,
                              size_t count)
{
    const struct store_options options = {s->path, routes, count};
    s->err.text[0] = '\0';
    return store_open(&s->store, &options, &s->err);
}

enum err_code stored_try(struct stored *s)
{
    return try_with(s, two_routes, 2);
}

void stored_open_with(struct stored *s, const char *const *routes, size_t count)
{
    if (try_with(s, routes, count) != ERR_NONE)
        fail_msg("%s", s->err.text);
}

void stored_open(struct stored *s)
{
    stored_open_with(s, two_routes, 2);
}

void stored_refused(struct stored *s, enum err_code code, const char *words)
{
    assert_int_equal(stored_try(s), code);
    assert_null(s->store);
    if (strstr(s->err.text, words) == NULL)
        fail_msg("\"%s\" is not in: %s", words, s->err.text);
}

void stored_close(struct stored *s)
{
    store_close(s->store);
    s->store = NULL;
}

void stored_fini(struct stored *s)
{
    stored_close(s);
    scratch_close(&s->scratch);
}

static void must(struct stored *s, enum err_code code)
{
    if (code != ERR_NONE)
        fail_msg("%s", s->err.text);
}

void stored_begin(struct stored *s)
{
    must(s, store_begin(s->store, &s->err));
}

void stored_commit(struct stored *s)
{
    must(s, store_commit(s->store, &s->err));
}

/* ---- samples ---- */

static void fill_job(struct job *job, int64_t due_ms)
{
    id_new(&job->id, STORED_MS);
    job->client = mem_strdup(STR("uid:1000"));
    job->route = mem_strdup(STR("default"));
    job->priority = JOB_PRIORITY_NORMAL;
    job->created_ms = STORED_MS;
    job->send_at_ms = due_ms;
    job->give_up_at_ms = STORED_MS + 432000000;
    job->sender = mem_strdup(STR("shop@example.org"));
    job->recipients = mem_calloc(1, sizeof(char *));
    job->recipient_count = 1;
    job->recipients[0] = mem_strdup(STR("customer@example.com"));
}

void sample_init(struct sample *m, unsigned n, int64_t due, size_t body_bytes)
{
    *m = (struct sample){.job = job_new(), .body_len = body_bytes};
    buf_init(&m->record, 65536);
    fill_job(m->job, STORED_MS + due);
    m->body = mem_alloc(body_bytes + 32);
    memset(m->body, 'x', body_bytes + 32);
    int len = snprintf(m->body, 32, "body %u", n);
    m->body[len] = '\n';
    m->job->size_bytes = body_bytes;
    progress_init(&m->progress, m->job, STORED_MS);
    m->row.id = m->job->id;
    m->row.has_body = true;
    m->row.cost_bytes = 1000 + (int64_t)n;
    m->row.body_bytes = body_bytes;
    sample_update(m);
}

void sample_fini(struct sample *m)
{
    progress_fini(&m->progress);
    buf_fini(&m->record);
    job_unref(m->job);
    mem_free(m->body);
}

void sample_update(struct sample *m)
{
    bool waits = progress_is_waiting(&m->progress);
    buf_truncate(&m->record, 0);
    codec_put(m->job, &m->progress, &m->record);
    assert_true(buf_ok(&m->record));
    m->row.record = buf_str(&m->record);
    m->row.lane = (struct spool_lane){0, m->job->priority};
    m->row.state = m->progress.state;
    m->row.due_ms = waits ? m->progress.due_ms : SPOOL_NEVER;
    m->row.limit_ms = waits ? progress_limit_ms(&m->progress) : SPOOL_NEVER;
    m->row.settled_ms = m->progress.settled_ms;
    m->row.marked = m->progress.marked;
}

static void settle(struct sample *m, int64_t at, enum recipient_state state,
                   const char *reply)
{
    const struct settle_recipient said = {0, state, str_from(reply)};
    const struct settlement settlement = {
        .recipients = &said,
        .count = 1,
        .relay = STR("main"),
        .at_ms = STORED_MS + at,
    };
    progress_settle(&m->progress, &settlement);
    sample_update(m);
}

void sample_deliver(struct sample *m, int64_t at)
{
    m->row.has_body = false;
    settle(m, at, RECIPIENT_DELIVERED, "250 2.0.0 Ok");
    assert_int_equal(m->row.state, JOB_DELIVERED);
}

void sample_fail(struct sample *m, int64_t at)
{
    settle(m, at, RECIPIENT_FAILED, "550 5.1.1 No such user");
    assert_int_equal(m->row.state, JOB_FAILED);
}

void sample_insert(struct sample *m, struct stored *s)
{
    struct str body = str_of(m->body, m->body_len);
    if (!m->row.has_body || m->row.body_in_file)
        body = (struct str){NULL, 0};
    must(s, store_insert(s->store, &m->row, body, &s->err));
}

struct id stored_add(struct stored *s, unsigned n, int64_t due,
                     size_t body_bytes)
{
    struct sample m;
    sample_init(&m, n, due, body_bytes);
    struct id id = m.row.id;
    stored_begin(s);
    sample_insert(&m, s);
    stored_commit(s);
    sample_fini(&m);
    return id;
}

/* Samples cost 1000 and their number, which is 0 here. */
void stored_put_numbers(struct stored *s, int64_t waiting, int64_t delivered)
{
    const struct spool_stats n = {
        .accepted = waiting + delivered,
        .delivered = delivered,
        .waiting = waiting,
        .bytes = waiting * 1000,
        .remembered = delivered,
    };
    must(s, store_numbers_put(s->store, &n, &s->err));
}

/* ---- visits ---- */

bool visited_add(void *ctx, const struct store_row *row, struct str body)
{
    struct visited *v = ctx;
    assert_true(v->count < 64);
    assert_true(row->record.len < sizeof(v->last_record));
    v->seqs[v->count++] = row->seq;
    v->last = *row;
    if (row->record.len > 0)
        memcpy(v->last_record, row->record.data, row->record.len);
    v->last_body_len = body.len;
    (void)snprintf(v->last_body, sizeof(v->last_body), "%.*s",
                   (int)str_find(body, '\n'), body.len == 0 ? "" : body.data);
    return v->count != v->limit;
}

void visited_check(const struct visited *v, size_t count, ...)
{
    va_list args;
    assert_int_equal(v->count, count);
    va_start(args, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(v->seqs[i], va_arg(args, int));
    va_end(args);
}

struct visited stored_find(struct stored *s, const struct id *id)
{
    struct visited v = {.count = 0};
    must(s, store_find(s->store, id, visited_add, &v, &s->err));
    assert_int_equal(v.count, 1);
    return v;
}

bool stored_has(struct stored *s, const struct id *id)
{
    struct visited v = {.count = 0};
    enum err_code code = store_find(s->store, id, visited_add, &v, &s->err);
    if (code != ERR_NOT_FOUND)
        must(s, code);
    return code == ERR_NONE;
}

/* ---- verify, SQL ---- */

char *stored_verify(struct stored *s)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_non_null(out);
    enum err_code code = store_verify(s->path, out, &s->err);
    assert_int_equal(fclose(out), 0);
    if (code != ERR_NONE && len == 0)
        fail_msg("%s", s->err.text);
    assert_int_equal(code, len == 0 ? ERR_NONE : ERR_INVALID);
    char *copy = mem_strdup(str_of(text, len));
    free(text);
    return copy;
}

void stored_verify_clean(struct stored *s)
{
    char *text = stored_verify(s);
    assert_string_equal(text, "");
    mem_free(text);
}

static sqlite3 *open_plainly(const char *path)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    return db;
}

void stored_sql(struct stored *s, const char *text)
{
    sqlite3 *db = open_plainly(s->path);
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(db));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int64_t stored_sql_int(struct stored *s, const char *text)
{
    sqlite3 *db = open_plainly(s->path);
    sqlite3_stmt *st = NULL;
    if (sqlite3_prepare_v2(db, text, -1, &st, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(db));
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(st, 0);
    assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return value;
}

/* ---- files, children ---- */

const char *stored_file(struct stored *s, const char *ending)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "spool.db%s", ending);
    return scratch_path(&s->scratch, name);
}

bool file_is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

int64_t file_size(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

void file_copy(const char *from, const char *to)
{
    char piece[16384];
    ssize_t n;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(in >= 0 && out >= 0);
    while ((n = read(in, piece, sizeof(piece))) > 0)
        assert_int_equal(write(out, piece, (size_t)n), n);
    assert_int_equal(n, 0);
    assert_int_equal(close(in), 0);
    assert_int_equal(close(out), 0);
}

void file_garble(const char *path, int64_t at, size_t len)
{
    char junk[256];
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    memset(junk, 0x5a, sizeof(junk));
    assert_true(fd >= 0 && len <= sizeof(junk));
    assert_int_equal(pwrite(fd, junk, len, at), (ssize_t)len);
    assert_int_equal(close(fd), 0);
}

int in_child(void (*fn)(void *ctx), void *ctx)
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        fn(ctx);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

#include "queue/store.h"

#include <string.h>

#include "core/mem.h"
#include "core/panic.h"
#include "queue/store_inner.h"

enum { KEY_LOOK_AGAIN_MS = 3600 * 1000 };

enum err_code store_begin(struct store *s, struct err *err)
{
    enum err_code code = store_take(s, err);
    return code == ERR_NONE ? database_begin(s->db, err) : code;
}

enum err_code store_commit(struct store *s, struct err *err)
{
    return database_commit(s->db, err);
}

void store_rollback(struct store *s)
{
    database_rollback(s->db);
}

int64_t store_uncopied_bytes(const struct store *s)
{
    return database_uncopied_bytes(s->db);
}

int64_t store_unused_bytes(struct store *s)
{
    return database_unused_bytes(s->db);
}

void store_keep_log_short(struct store *s, bool is_short)
{
    database_keep_log_short(s->db, is_short);
}

/* ---- rows to and from columns ---- */

static void bind_unless(struct statement *st, int at, int64_t value,
                        int64_t none)
{
    if (value == none)
        statement_bind_null(st, at);
    else
        statement_bind_int(st, at, value);
}

static enum store_body body_of(const struct store_row *row)
{
    if (!row->has_body)
        return STORE_BODY_NONE;
    return row->body_in_file ? STORE_BODY_FILE : STORE_BODY_ROW;
}

/* Parameters that STORE_JOB_INSERT and STORE_JOB_UPDATE have in common. */
static void bind_row(struct statement *st, const struct store_row *row)
{
    statement_bind_int(st, 1, row->seq);
    statement_bind_int(st, 2, (int64_t)row->state);
    bind_unless(st, 3, row->due_ms, SPOOL_NEVER);
    bind_unless(st, 4, row->limit_ms, SPOOL_NEVER);
    bind_unless(st, 5, row->settled_ms, 0);
    statement_bind_int(st, 6, row->cost_bytes);
    statement_bind_int(st, 7, row->marked ? 1 : 0);
    statement_bind_int(st, 8, (int64_t)body_of(row));
    statement_bind_int(st, 9, (int64_t)row->body_bytes);
    statement_bind_bytes(st, 10, row->record);
}

static int64_t lane_of(int64_t route, enum job_priority priority)
{
    return (route << STORE_LANE_SHIFT) | (int64_t)priority;
}

static unsigned route_of(const struct store *s, int64_t number)
{
    for (size_t i = 0; i < s->route_count; i++)
        if (s->routes[i] == number)
            return (unsigned)i;
    return 0;
}

static int64_t time_of(struct statement *st, int column, int64_t none)
{
    return statement_is_null(st, column) ? none : statement_int(st, column);
}

/* False for what bind_row() cannot have written. */
static bool read_row(const struct store *s, struct statement *st,
                     struct store_row *row)
{
    int64_t lane = statement_int(st, 2);
    int64_t state = statement_int(st, 3);
    int64_t priority = lane & ((1 << STORE_LANE_SHIFT) - 1);
    int64_t body = statement_int(st, 9);
    int64_t body_bytes = statement_int(st, 10);
    if (!id_parse(statement_bytes(st, 1), &row->id) || state < 0 ||
        state == JOB_ACTIVE || state >= JOB_STATE_COUNT ||
        priority >= JOB_PRIORITY_COUNT || body < STORE_BODY_NONE ||
        body > STORE_BODY_FILE || body_bytes < 0)
        return false;
    row->seq = statement_int(st, 0);
    row->state = (enum job_state)state;
    row->lane = (struct spool_lane){route_of(s, lane >> STORE_LANE_SHIFT),
                                    (enum job_priority)priority};
    row->due_ms = time_of(st, 4, SPOOL_NEVER);
    row->limit_ms = time_of(st, 5, SPOOL_NEVER);
    row->settled_ms = time_of(st, 6, 0);
    row->cost_bytes = statement_int(st, 7);
    row->marked = statement_int(st, 8) != 0;
    row->body_bytes = (uint64_t)body_bytes;
    row->has_body = body != STORE_BODY_NONE;
    row->body_in_file = body == STORE_BODY_FILE;
    row->record = statement_bytes(st, 11);
    return true;
}

static void pass_over(struct store *s, struct statement *st)
{
    s->damaged_count++;
    if (s->on_damaged != NULL)
        s->on_damaged(s->on_damaged_ctx, statement_int(st, 0),
                      statement_bytes(st, 1));
}

void store_on_damaged(struct store *s, store_damaged_fn fn, void *ctx)
{
    s->on_damaged = fn;
    s->on_damaged_ctx = ctx;
}

/* ---- changing rows ---- */

enum err_code store_insert(struct store *s, struct store_row *row,
                           struct str body, struct err *err)
{
    struct statement *st = s->statements[STORE_JOB_INSERT];
    PANIC_IF(row->lane.route >= s->route_count);
    row->seq = s->next_seq++; /* never used again, even if rolled back */
    bind_row(st, row);
    statement_bind_int(st, 11,
                       lane_of(s->routes[row->lane.route], row->lane.priority));
    statement_bind_text(st, 12, row->id.text);
    enum err_code code = database_run(s->db, st, err);
    if (code != ERR_NONE || body_of(row) != STORE_BODY_ROW)
        return code;
    st = s->statements[STORE_BODY_INSERT];
    statement_bind_int(st, 1, row->seq);
    statement_bind_bytes(st, 2, body);
    return database_run(s->db, st, err);
}

static enum err_code run_for(struct store *s, enum store_statement which,
                             int64_t seq, struct err *err)
{
    statement_bind_int(s->statements[which], 1, seq);
    return database_run(s->db, s->statements[which], err);
}

enum err_code store_update(struct store *s, const struct store_row *row,
                           struct err *err)
{
    bind_row(s->statements[STORE_JOB_UPDATE], row);
    enum err_code code =
        database_run(s->db, s->statements[STORE_JOB_UPDATE], err);
    if (code == ERR_NONE && body_of(row) != STORE_BODY_ROW)
        code = run_for(s, STORE_BODY_DELETE, row->seq, err);
    return code;
}

enum err_code store_delete(struct store *s, int64_t seq, struct err *err)
{
    enum err_code code = run_for(s, STORE_JOB_DELETE, seq, err);
    if (code == ERR_NONE)
        code = run_for(s, STORE_BODY_DELETE, seq, err);
    return code;
}

enum err_code store_drop_body(struct store *s, int64_t seq, struct err *err)
{
    enum err_code code = run_for(s, STORE_BODY_GONE, seq, err);
    if (code == ERR_NONE)
        code = run_for(s, STORE_BODY_DELETE, seq, err);
    return code;
}

/* ---- looking for rows ---- */

static enum err_code visit_all(struct store *s, struct statement *st,
                               store_visit_fn visit, void *ctx, struct err *err)
{
    enum err_code code;
    bool more;
    while ((code = database_step(s->db, st, &more, err)) == ERR_NONE && more) {
        struct store_row row;
        if (!read_row(s, st, &row))
            pass_over(s, st);
        else if (!visit(ctx, &row, (struct str){NULL, 0}))
            break;
    }
    statement_reset(st);
    return code;
}

struct found {
    store_visit_fn visit;
    void *ctx;
    bool any;
};

static bool visit_found(void *ctx, const struct store_row *row, struct str body)
{
    struct found *found = ctx;
    found->any = true;
    return found->visit(found->ctx, row, body);
}

enum err_code store_find(struct store *s, const struct id *id,
                         store_visit_fn visit, void *ctx, struct err *err)
{
    struct statement *st = s->statements[STORE_JOB_FIND];
    struct found found = {visit, ctx, false};
    int64_t damaged_count = s->damaged_count;
    statement_bind_text(st, 1, id->text);
    enum err_code code = visit_all(s, st, visit_found, &found, err);
    if (code == ERR_NONE && s->damaged_count != damaged_count)
        return database_damaged(s->db, "the row of this job", err);
    if (code == ERR_NONE && !found.any)
        return err_set(err, ERR_NOT_FOUND, "there is no job %s", id->text);
    return code;
}

enum err_code store_over(struct store *s, int64_t until_ms,
                         store_visit_fn visit, void *ctx, struct err *err)
{
    struct statement *st = s->statements[STORE_JOB_OVER];
    statement_bind_int(st, 1, until_ms);
    return visit_all(s, st, visit, ctx, err);
}

enum err_code store_marked(struct store *s, store_visit_fn visit, void *ctx,
                           struct err *err)
{
    return visit_all(s, s->statements[STORE_JOB_MARKED], visit, ctx, err);
}

enum err_code store_settled(struct store *s, bool failed, int64_t until_ms,
                            store_visit_fn visit, void *ctx, struct err *err)
{
    struct statement *st =
        s->statements[failed ? STORE_JOB_FAILED : STORE_JOB_SETTLED];
    statement_bind_int(st, 1, until_ms);
    return visit_all(s, st, visit, ctx, err);
}

enum err_code store_kept(struct store *s, store_visit_fn visit, void *ctx,
                         struct err *err)
{
    return visit_all(s, s->statements[STORE_JOB_KEPT], visit, ctx, err);
}

enum err_code store_each(struct store *s, int64_t seq, store_visit_fn visit,
                         void *ctx, struct err *err)
{
    struct statement *st = s->statements[STORE_JOB_EACH];
    statement_bind_int(st, 1, seq);
    return visit_all(s, st, visit, ctx, err);
}

static enum err_code ask_time(struct store *s, struct statement *st,
                              int64_t *time_ms, struct err *err)
{
    bool row = false;
    enum err_code code = database_step(s->db, st, &row, err);
    if (code == ERR_NONE)
        *time_ms = row ? statement_int(st, 0) : SPOOL_NEVER;
    statement_reset(st);
    return code;
}

enum err_code store_next_limit(struct store *s, int64_t *limit_ms,
                               struct err *err)
{
    return ask_time(s, s->statements[STORE_NEXT_LIMIT], limit_ms, err);
}

/* ---- what is due: the lane's own route, and the strangers' for the first ----
 */

static size_t source_count(const struct store *s, struct spool_lane lane)
{
    return lane.route == 0 ? 1 + s->stranger_count : 1;
}

static int64_t source_route(const struct store *s, struct spool_lane lane,
                            size_t source)
{
    return source == 0 ? s->routes[lane.route] : s->strangers[source - 1];
}

static void bind_place(struct statement *st, int64_t lane,
                       const struct store_cursor *after)
{
    statement_bind_int(st, 1, lane);
    statement_bind_int(st, 2, after == NULL ? INT64_MIN : after->due_ms);
    statement_bind_int(st, 3, after == NULL ? INT64_MIN : after->seq);
}

/* Of one route: due_ms is SPOOL_NEVER if there is none. */
static enum err_code next_place(struct store *s, int64_t lane,
                                const struct store_cursor *after,
                                struct store_cursor *next, struct err *err)
{
    const enum store_statement asked[] = {STORE_NEXT_DUE_THEN,
                                          STORE_NEXT_DUE_AFTER};
    *next = (struct store_cursor){SPOOL_NEVER, 0};
    for (size_t i = 0; i < 2; i++) {
        struct statement *st = s->statements[asked[i]];
        bool row = false;
        bind_place(st, lane, after);
        enum err_code code = database_step(s->db, st, &row, err);
        if (code == ERR_NONE && row)
            *next = (struct store_cursor){statement_int(st, 0),
                                          statement_int(st, 1)};
        statement_reset(st);
        if (code != ERR_NONE || row)
            return code;
    }
    return ERR_NONE;
}

enum err_code store_next_due(struct store *s, struct spool_lane lane,
                             const struct store_cursor *after, int64_t *due_ms,
                             struct err *err)
{
    int64_t first = SPOOL_NEVER;
    PANIC_IF(lane.route >= s->route_count);
    for (size_t i = 0; i < source_count(s, lane); i++) {
        int64_t of = lane_of(source_route(s, lane, i), lane.priority);
        struct store_cursor next;
        enum err_code code = next_place(s, of, after, &next, err);
        if (code != ERR_NONE)
            return code;
        first = next.due_ms < first ? next.due_ms : first;
    }
    *due_ms = first;
    return ERR_NONE;
}

/* The first row not visited yet of one source. */
struct due_head {
    const struct store_due *due;
    struct statement *st; /* the one of due that gave row */
    int64_t lane;
    int64_t until_ms;
    struct store_cursor at; /* of the last row, whatever became of it */
    struct store_row row;
    bool there;
};

/* From behind `at` on. */
static void bind_head(struct due_head *head)
{
    struct statement *const both[] = {head->due->then, head->due->after};
    for (size_t i = 0; i < 2; i++) {
        statement_reset(both[i]);
        bind_place(both[i], head->lane, &head->at);
        statement_bind_int(both[i], 4, head->until_ms);
    }
    head->st = head->due->then;
}

static bool is_behind(struct store_cursor a, struct store_cursor b)
{
    return a.due_ms > b.due_ms || (a.due_ms == b.due_ms && a.seq > b.seq);
}

static enum err_code step(struct store *s, struct due_head *head,
                          struct err *err)
{
    enum err_code code = database_step(s->db, head->st, &head->there, err);
    if (code == ERR_NONE && !head->there && head->st == head->due->then) {
        head->st = head->due->after;
        code = database_step(s->db, head->st, &head->there, err);
    }
    if (code != ERR_NONE || !head->there)
        return code;
    const struct store_cursor at = {statement_int(head->st, 4),
                                    statement_int(head->st, 0)};
    /* Never back, whatever a damaged row says. */
    if (is_behind(at, head->at))
        head->at = at;
    return ERR_NONE;
}

/* The next row cannot be read, but the index may say which it is. */
static bool pass_place(struct store *s, struct due_head *head,
                       const struct err *why)
{
    struct store_cursor next;
    struct err err;
    if (next_place(s, head->lane, &head->at, &next, &err) != ERR_NONE ||
        next.due_ms > head->until_ms || !is_behind(next, head->at))
        return false;
    s->damaged_count++;
    if (s->page_damage.code == ERR_NONE)
        s->page_damage = *why;
    if (s->on_damaged != NULL)
        s->on_damaged(s->on_damaged_ctx, next.seq, STR(""));
    head->at = next;
    bind_head(head);
    return true;
}

static enum err_code step_on(struct store *s, struct due_head *head,
                             struct err *err)
{
    enum err_code code = step(s, head, err);
    while (code == ERR_INVALID && pass_place(s, head, err))
        code = step(s, head, err);
    return code;
}

const struct err *store_page_damage(const struct store *s)
{
    return &s->page_damage;
}

static enum err_code advance(struct store *s, struct due_head *head,
                             struct err *err)
{
    enum err_code code = step_on(s, head, err);
    while (code == ERR_NONE && head->there &&
           !read_row(s, head->st, &head->row)) {
        pass_over(s, head->st);
        code = step_on(s, head, err);
    }
    return code;
}

static struct due_head *earliest(struct due_head *heads, size_t count)
{
    struct due_head *first = NULL;
    for (size_t i = 0; i < count; i++) {
        struct due_head *h = &heads[i];
        if (h->there && (first == NULL || h->row.due_ms < first->row.due_ms ||
                         (h->row.due_ms == first->row.due_ms &&
                          h->row.seq < first->row.seq)))
            first = h;
    }
    return first;
}

static enum err_code visit_due(struct store *s, struct due_head *heads,
                               size_t count, store_visit_fn visit, void *ctx,
                               struct err *err)
{
    enum err_code code = ERR_NONE;
    struct due_head *h;
    for (size_t i = 0; i < count && code == ERR_NONE; i++)
        code = advance(s, &heads[i], err);
    while (code == ERR_NONE && (h = earliest(heads, count)) != NULL) {
        if (!visit(ctx, &h->row, statement_bytes(h->st, 12)))
            return ERR_NONE;
        code = advance(s, h, err);
    }
    return code;
}

enum err_code store_due(struct store *s, struct spool_lane lane,
                        const struct store_cursor *after, int64_t until_ms,
                        store_visit_fn visit, void *ctx, struct err *err)
{
    size_t count = source_count(s, lane);
    struct due_head one = {.st = NULL};
    struct due_head *heads = &one;
    PANIC_IF(lane.route >= s->route_count);
    if (count > 1)
        heads = mem_calloc(count, sizeof(*heads));
    for (size_t i = 0; i < count; i++) {
        heads[i].due = &s->due[i];
        heads[i].lane = lane_of(source_route(s, lane, i), lane.priority);
        heads[i].until_ms = until_ms;
        heads[i].at = after != NULL
                          ? *after
                          : (struct store_cursor){INT64_MIN, INT64_MIN};
        bind_head(&heads[i]);
    }
    enum err_code code = visit_due(s, heads, count, visit, ctx, err);
    for (size_t i = 0; i < count; i++) {
        statement_reset(s->due[i].then);
        statement_reset(s->due[i].after);
    }
    if (count > 1)
        mem_free(heads);
    return code;
}

/* ---- idempotency keys ---- */

static void bind_key(struct statement *st, const char *client, const char *key)
{
    statement_bind_text(st, 1, client);
    statement_bind_text(st, 2, key);
}

enum err_code store_key_find(struct store *s, struct store_key *key,
                             struct err *err)
{
    struct statement *st = s->statements[STORE_KEY_FIND];
    bool row = false;
    bind_key(st, key->client, key->key);
    enum err_code code = database_step(s->db, st, &row, err);
    if (code == ERR_NONE && !row)
        code = err_set(err, ERR_NOT_FOUND, "there is no such key");
    if (code == ERR_NONE) {
        struct str digest = statement_bytes(st, 1);
        int64_t state = statement_int(st, 3);
        if (digest.len != JOB_DIGEST_LEN || state < 0 ||
            state >= JOB_STATE_COUNT ||
            !id_parse(statement_bytes(st, 0), &key->id))
            code = database_damaged(s->db, "a key cannot be read", err);
        else
            memcpy(key->digest, digest.data, JOB_DIGEST_LEN);
        key->at_ms = statement_int(st, 2);
        key->state = (enum job_state)state;
    }
    statement_reset(st);
    return code;
}

enum err_code store_key_put(struct store *s, const struct store_key *key,
                            struct err *err)
{
    struct statement *st = s->statements[STORE_KEY_PUT];
    bind_key(st, key->client, key->key);
    statement_bind_text(st, 3, key->id.text);
    statement_bind_bytes(
        st, 4, str_of((const char *)key->digest, sizeof(key->digest)));
    statement_bind_int(st, 5, key->at_ms);
    statement_bind_int(st, 6, (int64_t)key->state);
    return database_run(s->db, st, err);
}

enum err_code store_key_delete(struct store *s, const struct store_key *key,
                               struct err *err)
{
    struct statement *st = s->statements[STORE_KEY_DELETE];
    bind_key(st, key->client, key->key);
    return database_run(s->db, st, err);
}

/*
 * One key of STORE_KEY_OLD: away, or put off if its job is not settled, so
 * that a million such keys are not looked at each time.
 */
static enum err_code forget_one(struct store *s, int64_t before_ms, bool *any,
                                size_t *removed, struct err *err)
{
    struct statement *old = s->statements[STORE_KEY_OLD];
    struct statement *st = s->statements[STORE_KEY_DELETE];
    statement_bind_int(old, 1, before_ms);
    enum err_code code = database_step(s->db, old, any, err);
    if (code == ERR_NONE && *any) {
        struct str client = statement_bytes(old, 0);
        struct str key = statement_bytes(old, 1);
        char *client_text = mem_strdup(client);
        char *key_text = mem_strdup(key);
        int64_t look_ms = statement_int(old, 2);
        bool in_use = statement_int(old, 3) != 0;
        statement_reset(old);
        if (in_use) {
            st = s->statements[STORE_KEY_LATER];
            statement_bind_int(st, 3, look_ms + KEY_LOOK_AGAIN_MS);
        }
        bind_key(st, client_text, key_text);
        code = database_run(s->db, st, err);
        if (code == ERR_NONE && !in_use)
            ++*removed;
        mem_free(client_text);
        mem_free(key_text);
    }
    statement_reset(old);
    return code;
}

enum err_code store_keys_forget(struct store *s, int64_t before_ms,
                                size_t limit, size_t *removed, struct err *err)
{
    enum err_code code = ERR_NONE;
    bool any = true;
    *removed = 0;
    for (size_t i = 0; i < limit && any && code == ERR_NONE; i++)
        code = forget_one(s, before_ms, &any, removed, err);
    return code;
}

/* ---- numbers ---- */

enum err_code store_numbers_get(struct store *s, struct spool_stats *numbers,
                                struct err *err)
{
    struct statement *st = s->statements[STORE_NUMBERS_GET];
    bool row = false;
    enum err_code code = database_step(s->db, st, &row, err);
    if (code == ERR_NONE && !row)
        code = database_damaged(s->db, "its numbers are missing", err);
    if (code == ERR_NONE)
        *numbers = (struct spool_stats){
            .accepted = statement_int(st, 0),
            .delivered = statement_int(st, 1),
            .failed = statement_int(st, 2),
            .expired = statement_int(st, 3),
            .cancelled = statement_int(st, 4),
            .waiting = statement_int(st, 5),
            .held = statement_int(st, 6),
            .bytes = statement_int(st, 7),
            .remembered = statement_int(st, 8),
            .keys = statement_int(st, 9),
            .kept_bytes = statement_int(st, 10),
        };
    statement_reset(st);
    return code;
}

enum err_code store_numbers_put(struct store *s,
                                const struct spool_stats *numbers,
                                struct err *err)
{
    const int64_t values[] = {
        numbers->accepted, numbers->delivered,  numbers->failed,
        numbers->expired,  numbers->cancelled,  numbers->waiting,
        numbers->held,     numbers->bytes,      numbers->remembered,
        numbers->keys,     numbers->kept_bytes,
    };
    struct statement *st = s->statements[STORE_NUMBERS_PUT];
    for (int i = 0; i < (int)(sizeof(values) / sizeof(values[0])); i++)
        statement_bind_int(st, i + 1, values[i]);
    return database_run(s->db, st, err);
}

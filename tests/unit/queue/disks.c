#include "tests/unit/queue/disks.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/mem.h"

#define PATIENCE_MS 20000

static atomic_uint commits_to_fail;
static atomic_uint bodies_to_fail;
static atomic_int failure; /* enum err_code */
static atomic_int_least64_t free_room = INT64_MAX / 2;

static bool takes_one(atomic_uint *left)
{
    unsigned n = atomic_load(left);
    return n > 0 && atomic_compare_exchange_strong(left, &n, n - 1);
}

static enum err_code commit(struct store *store, struct err *err)
{
    if (!takes_one(&commits_to_fail))
        return store_commit(store, err);
    store_rollback(store);
    return err_set(err, (enum err_code)atomic_load(&failure),
                   "the disk does not take it");
}

static enum err_code write_body(struct bodies *bodies, const struct id *id,
                                const struct body *body, struct err *err)
{
    if (!takes_one(&bodies_to_fail))
        return bodies_write(bodies, id, body, err);
    return err_set(err, ERR_FULL, "no room for the body");
}

static bool room(const char *path, int64_t *free_bytes, int64_t *all_bytes)
{
    (void)path;
    *free_bytes = atomic_load(&free_room);
    *all_bytes = INT64_C(16) << 20;
    return true;
}

static const struct spool_sqlite_disk failing = {commit, write_body, room};

void disk_has_free(int64_t bytes)
{
    atomic_store(&free_room, bytes);
}

void fail_commits(unsigned count)
{
    atomic_store(&failure, ERR_FULL);
    atomic_store(&commits_to_fail, count);
}

void disk_fails_with(enum err_code code)
{
    atomic_store(&failure, (int)code);
}

void fail_bodies(unsigned count)
{
    atomic_store(&bodies_to_fail, count);
}

void disk_create(struct spooled *s)
{
    struct err err;
    assert_int_equal(
        spool_sqlite_create(&s->spool, &s->options, s->path, &failing, &err),
        ERR_NONE);
}

int disk_setup(void **state)
{
    static struct spooled s;
    spooled_open(&s, NULL);
    spool_destroy(s.spool);
    disk_create(&s);
    *state = &s;
    return 0;
}

int disk_teardown(void **state)
{
    fail_commits(0);
    fail_bodies(0);
    spooled_close(*state);
    return 0;
}

void disk_reopen(struct spooled *s)
{
    spool_destroy(s->spool);
    disk_create(s);
}

void wait_recorded(struct spooled *s)
{
    int64_t until_ms = clock_mono_ms(clock_system()) + PATIENCE_MS;
    struct spool_stats n;
    for (;;) {
        spool_stats(s->spool, &n);
        if (n.unrecorded == 0 && n.disk_error[0] == '\0')
            return;
        assert_true(clock_mono_ms(clock_system()) < until_ms);
        (void)poll(NULL, 0, 5);
    }
}

struct job *large_job(struct spooled *s)
{
    struct job *job = a_job(s, 1);
    body_unref(job->body);
    char *bytes = mem_alloc(LARGE);
    memset(bytes, 'x', LARGE);
    job->body = body_from_memory(bytes, LARGE);
    job->size_bytes = LARGE;
    return job;
}

bool has_file(const struct spooled *s, const struct id *id)
{
    struct stat st;
    char name[160];
    (void)snprintf(name, sizeof(name), "%s.bodies/%s", s->path, id->text);
    return stat(name, &st) == 0;
}

void file_goes(const struct spooled *s, const struct id *id)
{
    int64_t until_ms = clock_mono_ms(clock_system()) + PATIENCE_MS;
    while (has_file(s, id)) {
        assert_true(clock_mono_ms(clock_system()) < until_ms);
        (void)poll(NULL, 0, 2);
    }
}

static void wait_in_callback(void *ctx, struct spool_status *status,
                             bool changed, const struct err *err)
{
    struct gate *gate = ctx;
    (void)err;
    (void)changed;
    spool_status_destroy(status);
    waiter_done(&gate->reached);
    waiter_wait(&gate->opened);
}

void hold_writer(struct spooled *s, struct gate *gate)
{
    struct id nobody;
    id_new(&nobody, 1);
    waiter_init(&gate->reached);
    waiter_init(&gate->opened);
    spool_find(s->spool, &nobody, NULL, wait_in_callback, gate);
    waiter_wait(&gate->reached);
}

void let_writer_go(struct spooled *s, struct gate *gate)
{
    waiter_done(&gate->opened);
    spooled_rest(s);
    waiter_fini(&gate->reached);
    waiter_fini(&gate->opened);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "queue/store_inner.h"
#include "tests/unit/queue/stores.h"

/*
 * With a million rows, a statement that sorts, or reads a table from end to
 * end, stops the spool for seconds.
 */
static bool may_scan(enum store_statement which)
{
    return which == STORE_JOB_EACH || which == STORE_NUMBERS_GET ||
           which == STORE_NUMBERS_PUT || which == STORE_CLOSED_PUT;
}

static void plan_is_good(struct stored *s, enum store_statement which)
{
    char text[2048];
    struct statement *st = NULL;
    bool row = true;
    (void)snprintf(text, sizeof(text), "EXPLAIN QUERY PLAN %s",
                   store_schema_statement(which));
    assert_int_equal(database_prepare(s->store->db, text, &st, &s->err),
                     ERR_NONE);
    for (;;) {
        char step[256];
        assert_int_equal(database_step(s->store->db, st, &row, &s->err),
                         ERR_NONE);
        if (!row)
            break;
        struct str words = statement_bytes(st, 3);
        (void)snprintf(step, sizeof(step), "%.*s", (int)words.len, words.data);
        if (strstr(step, "TEMP B-TREE") != NULL ||
            (strncmp(step, "SCAN", 4) == 0 && strstr(step, "INDEX") == NULL &&
             !may_scan(which)))
            fail_msg("statement %u: %s", (unsigned)which, step);
    }
    statement_finish(st);
}

static void no_statement_sorts_or_reads_all(void **state)
{
    struct stored s;
    (void)state;
    stored_init(&s);
    stored_open(&s);
    for (unsigned i = 0; i < STORE_STATEMENT_COUNT; i++)
        plan_is_good(&s, (enum store_statement)i);
    stored_close(&s);
    stored_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_statement_sorts_or_reads_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

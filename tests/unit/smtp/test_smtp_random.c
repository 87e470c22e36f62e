#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/mem.h"
#include "tests/unit/smtp/chaos_check.h"
#include "tests/unit/smtp/chaos_run.h"
#include "tests/unit/smtp/chaos_wire.h"

/*
 * Thousands of runs, each out of one seed: random mails to a random relay,
 * over a connection that is cut anywhere, and a model that says what must
 * have come out of it.
 *
 *   POSTRIDER_RANDOM_SEED=7 POSTRIDER_RANDOM_RUNS=1   that run, with all that
 *                                                     was said
 *   POSTRIDER_RANDOM_RUNS=100000                      more of them
 */
#define RUNS_USUAL 4000

/* From so many runs on, everything must have been seen. */
#define RUNS_FULL 2000

struct chance {
    int listener;
    struct chaos_plan plan;
    struct chaos_record record;
    struct chaos_model model;
};

/* What was seen in all runs. */
struct tally {
    size_t outcomes[3][OUTCOME_COUNT]; /* by way of speaking */
    size_t ends[SMTP_STAGE_COUNT];
    size_t mails;
    size_t commands;
    size_t ambiguous;
    size_t recipients;
    size_t connect_failures;
    size_t lies;
};

#define RUN_LIMIT_S 60

/* Of the run under way, for those that end in abort(), or never. */
static char running[64];

static void on_end(int number)
{
    ssize_t n = write(STDERR_FILENO, running, strlen(running));
    (void)n;
    if (number == SIGALRM)
        _exit(1);
}

static uint64_t from_environment(const char *name, uint64_t usual)
{
    unsigned long long value = usual;
    const char *text = getenv(name);
    if (text != NULL && !str_to_u64(str_from(text), UINT64_MAX, &value))
        fail_msg("%s=%s is no number", name, text);
    return value;
}

static size_t way_of(const struct chaos_plan *p)
{
    return !chaos_plan_pipelines(p) ? 0 : chaos_plan_chunks(p) ? 2 : 1;
}

static void count(struct tally *t, const struct chance *c)
{
    const struct chaos_record *r = &c->record;
    size_t way = way_of(&c->plan);
    t->mails += r->sent;
    t->commands += r->command_count;
    t->connect_failures += !r->ready;
    t->lies += r->lie != CHAOS_NONE;
    t->ends[r->closing.stage]++;
    for (size_t k = 0; k < r->sent; k++)
        for (size_t i = 0; i < c->plan.mails[k].mail.recipient_count; i++) {
            unsigned allowed = c->model.mails[k].of[i].allowed;
            t->outcomes[way][r->results[k].of[i].outcome]++;
            t->recipients++;
            t->ambiguous += (allowed & (allowed - 1)) != 0;
        }
}

static void describe(const struct chance *c)
{
    const struct chaos_plan *p = &c->plan;
    printf("seed %" PRIu64 ": %zu mails,%s%s%s%s%s, unconfirmed %u%s%s\n",
           p->seed, p->count, p->pipelining ? " PIPELINING" : "",
           p->chunking ? " CHUNKING" : "", p->size ? " SIZE" : "",
           p->eight_bit ? " 8BITMIME" : "",
           p->enhanced ? " ENHANCEDSTATUSCODES" : "", p->unconfirmed,
           p->may_pipeline ? "" : ", no pipelining",
           p->may_chunk ? "" : ", no chunking");
    chaos_record_print(&c->record);
}

/* Returns whether all was as it must be. */
static bool run(struct chance *c, uint64_t seed, struct tally *tally,
                bool is_told)
{
    (void)snprintf(running, sizeof(running),
                   "seed %" PRIu64 " aborts, or never ends\n", seed);
    (void)alarm(RUN_LIMIT_S);
    chaos_plan_init(&c->plan, seed);
    chaos_record_init(&c->record);
    chaos_run(&c->plan, &c->record, c->listener);
    if (c->record.complaint[0] == '\0') {
        chaos_model_run(&c->model, &c->plan, &c->record);
        chaos_check(&c->model, &c->record);
        count(tally, c);
    }
    bool ok = c->record.complaint[0] == '\0';
    if (!ok || is_told)
        describe(c);
    if (!ok)
        print_error("seed %" PRIu64 ": %s\n", seed, c->record.complaint);
    chaos_record_fini(&c->record);
    chaos_plan_fini(&c->plan);
    return ok;
}

static void print_tally(const struct tally *t)
{
    static const char *const ways[] = {"one by one", "pipeline", "bdat"};
    printf("%zu mails, %zu commands, %zu recipients of which %zu may be seen "
           "in two ways;\n%zu runs with no session, %zu with lies\n",
           t->mails, t->commands, t->recipients, t->ambiguous,
           t->connect_failures, t->lies);
    for (size_t way = 0; way < 3; way++) {
        printf("%-10s", ways[way]);
        for (int o = OUTCOME_NONE + 1; o < OUTCOME_COUNT; o++)
            printf(" %s %zu", outcome_name((enum outcome)o),
                   t->outcomes[way][o]);
        printf("\n");
    }
    printf("ended at  ");
    for (int stage = 0; stage < SMTP_STAGE_COUNT; stage++)
        printf(" %s %zu", smtp_stage_name((enum smtp_stage)stage),
               t->ends[stage]);
    printf("\n");
}

/* The dice may not forget anything. */
static void check_tally(const struct tally *t)
{
    for (size_t way = 0; way < 3; way++)
        for (int o = OUTCOME_NONE + 1; o < OUTCOME_COUNT; o++)
            assert_true(t->outcomes[way][o] > 0);
    for (int stage = 0; stage < SMTP_STAGE_COUNT; stage++)
        assert_true(t->ends[stage] > 0);
    assert_true(t->ambiguous * 100 < t->recipients);
}

static void what_comes_out_is_what_must_come_out(void **state)
{
    (void)state;
    static const struct tally none;
    struct tally tally = none;
    uint64_t seed = from_environment("POSTRIDER_RANDOM_SEED", 1);
    uint64_t runs = from_environment("POSTRIDER_RANDOM_RUNS", RUNS_USUAL);
    size_t failed = 0;
    struct chance *c;
    MEM_NEW(c);
    c->listener = chaos_wire_listen();
    for (uint64_t i = 0; i < runs && failed < 5; i++)
        failed += !run(c, seed + i, &tally, runs == 1);
    (void)alarm(0);
    (void)close(c->listener);
    mem_free(c);
    print_tally(&tally);
    if (failed > 0)
        fail_msg("%zu runs failed: see above for their seeds", failed);
    if (runs >= RUNS_FULL)
        check_tally(&tally);
}

static int set_up(void **state)
{
    const struct sigaction action = {.sa_handler = on_end,
                                     .sa_flags = (int)SA_RESETHAND};
    (void)state;
    (void)sigaction(SIGABRT, &action, NULL);
    (void)sigaction(SIGALRM, &action, NULL);
    return smtp_global_init(NULL) == ERR_NONE ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    smtp_global_fini();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_out_is_what_must_come_out),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

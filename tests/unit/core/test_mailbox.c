#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/mailbox.h"
#include "core/mem.h"

#define DEADLINE_MS 20000

static bool is_raised(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n = poll(&p, 1, timeout_ms);
    assert_true(n >= 0);
    return n == 1;
}

static void wake_is_a_flag(void **state)
{
    struct wake w;
    (void)state;
    assert_int_equal(wake_init(&w, NULL), ERR_NONE);
    assert_false(is_raised(w.fd, 0));
    wake_clear(&w);
    wake_raise(&w);
    wake_raise(&w);
    assert_true(is_raised(w.fd, 0));
    assert_true(is_raised(w.fd, 0));
    wake_clear(&w);
    assert_false(is_raised(w.fd, 0));
    wake_fini(&w);
    assert_int_equal(w.fd, -1);
    wake_fini(&w);
}

struct letter {
    struct mailbox_item item;
    unsigned from;
    unsigned number;
};

static void items_are_taken_oldest_first(void **state)
{
    struct mailbox m;
    struct mailbox_list list;
    struct letter letters[3] = {0};
    unsigned number = 0;
    (void)state;
    assert_int_equal(mailbox_init(&m, NULL), ERR_NONE);
    assert_false(mailbox_take(&m, &list));
    assert_true(STAILQ_EMPTY(&list));
    for (unsigned i = 0; i < 3; i++) {
        letters[i].number = i;
        mailbox_post(&m, &letters[i].item);
        assert_true(is_raised(mailbox_fd(&m), 0));
    }
    assert_true(mailbox_take(&m, &list));
    assert_false(is_raised(mailbox_fd(&m), 0));
    struct mailbox_item *item;
    STAILQ_FOREACH (item, &list, next)
        assert_int_equal(((struct letter *)(void *)item)->number, number++);
    assert_int_equal(number, 3);
    assert_false(mailbox_take(&m, &list));
    mailbox_fini(&m);
}

/* A round puts the waking off until its end; only its own thread's posts. */
static void a_round_wakes_once_at_its_end(void **state)
{
    struct mailbox boxes[2];
    struct mailbox_round round;
    struct mailbox_list list;
    struct letter letters[4] = {0};
    (void)state;
    mailbox_round_init(&round);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(mailbox_init(&boxes[i], NULL), ERR_NONE);
        mailbox_join(&boxes[i], &round);
    }
    mailbox_round_begin(&round);
    for (size_t i = 0; i < 4; i++)
        mailbox_post(&boxes[i % 2], &letters[i].item);
    assert_false(is_raised(mailbox_fd(&boxes[0]), 0));
    assert_false(is_raised(mailbox_fd(&boxes[1]), 0));
    mailbox_round_end(&round);
    for (size_t i = 0; i < 2; i++) {
        assert_true(is_raised(mailbox_fd(&boxes[i]), 0));
        assert_true(mailbox_take(&boxes[i], &list));
        assert_ptr_equal(STAILQ_FIRST(&list), &letters[i].item);
        assert_ptr_equal(STAILQ_NEXT(&letters[i].item, next),
                         &letters[i + 2].item);
        assert_false(is_raised(mailbox_fd(&boxes[i]), 0));
    }
    mailbox_post(&boxes[0], &letters[0].item);
    assert_true(is_raised(mailbox_fd(&boxes[0]), 0));
    assert_true(mailbox_take(&boxes[0], &list));
    mailbox_fini(&boxes[0]);
    mailbox_fini(&boxes[1]);
}

static void what_was_taken_before_a_round_ends_is_rung_for_once(void **state)
{
    struct mailbox m;
    struct mailbox_round round;
    struct mailbox_list list;
    struct letter letter = {0};
    (void)state;
    mailbox_round_init(&round);
    assert_int_equal(mailbox_init(&m, NULL), ERR_NONE);
    mailbox_join(&m, &round);
    mailbox_round_begin(&round);
    mailbox_post(&m, &letter.item);
    assert_true(mailbox_take(&m, &list));
    mailbox_round_end(&round);
    assert_true(is_raised(mailbox_fd(&m), 0));
    assert_false(mailbox_take(&m, &list));
    assert_false(is_raised(mailbox_fd(&m), 0));
    mailbox_fini(&m);
}

static void a_mailbox_may_go_before_the_round_ends(void **state)
{
    struct mailbox m;
    struct mailbox_round round;
    struct mailbox_list list;
    struct letter letter = {0};
    (void)state;
    mailbox_round_init(&round);
    assert_int_equal(mailbox_init(&m, NULL), ERR_NONE);
    mailbox_join(&m, &round);
    mailbox_round_begin(&round);
    mailbox_post(&m, &letter.item);
    assert_true(mailbox_take(&m, &list));
    mailbox_fini(&m);
    mailbox_round_end(&round);
}

static void more_mailboxes_than_a_round_has_room_for(void **state)
{
    enum { MORE = MAILBOX_ROUND_MAX + 3 };
    struct mailbox boxes[MORE];
    struct mailbox_round round;
    struct mailbox_list list;
    struct letter letters[MORE] = {0};
    (void)state;
    mailbox_round_init(&round);
    mailbox_round_begin(&round);
    for (size_t i = 0; i < MORE; i++) {
        assert_int_equal(mailbox_init(&boxes[i], NULL), ERR_NONE);
        mailbox_join(&boxes[i], &round);
        mailbox_post(&boxes[i], &letters[i].item);
        assert_int_equal(is_raised(mailbox_fd(&boxes[i]), 0),
                         i >= MAILBOX_ROUND_MAX);
    }
    mailbox_round_end(&round);
    for (size_t i = 0; i < MORE; i++) {
        assert_true(is_raised(mailbox_fd(&boxes[i]), 0));
        assert_true(mailbox_take(&boxes[i], &list));
        mailbox_fini(&boxes[i]);
    }
}

enum { POSTERS = 4, LETTERS = 20000, A_ROUND = 50 };

struct poster {
    struct thread thread;
    struct mailbox *mailbox;
    struct mailbox_round *round; /* NULL: posts one by one */
    struct letter *letters;
};

static void post_all(void *arg)
{
    struct poster *p = arg;
    for (unsigned i = 0; i < LETTERS; i++) {
        if (p->round != NULL && i % A_ROUND == 0)
            mailbox_round_begin(p->round);
        mailbox_post(p->mailbox, &p->letters[i].item);
        if (p->round != NULL && i % A_ROUND == A_ROUND - 1)
            mailbox_round_end(p->round);
    }
}

static void start_posters(struct poster *posters, struct mailbox *m)
{
    for (unsigned i = 0; i < POSTERS; i++) {
        posters[i].mailbox = m;
        posters[i].letters = mem_calloc(LETTERS, sizeof(struct letter));
        for (unsigned k = 0; k < LETTERS; k++) {
            posters[i].letters[k].from = i;
            posters[i].letters[k].number = k;
        }
        assert_int_equal(thread_start(&posters[i].thread, "poster", post_all,
                                      &posters[i], NULL),
                         ERR_NONE);
    }
}

static void nothing_is_lost_between_threads(void **state)
{
    struct mailbox m;
    struct mailbox_round round;
    struct poster posters[POSTERS] = {{.round = &round}};
    unsigned next[POSTERS] = {0};
    unsigned left = POSTERS * LETTERS;
    (void)state;
    mailbox_round_init(&round);
    assert_int_equal(mailbox_init(&m, NULL), ERR_NONE);
    mailbox_join(&m, &round);
    start_posters(posters, &m);
    while (left > 0) {
        struct mailbox_list list;
        struct mailbox_item *item;
        if (!is_raised(mailbox_fd(&m), DEADLINE_MS))
            fail_msg("%u letters did not come", left);
        (void)mailbox_take(&m, &list);
        while ((item = STAILQ_FIRST(&list)) != NULL) {
            const struct letter *l = (const struct letter *)(void *)item;
            STAILQ_REMOVE_HEAD(&list, next);
            assert_int_equal(l->number, next[l->from]++);
            left--;
        }
    }
    for (unsigned i = 0; i < POSTERS; i++) {
        thread_join(&posters[i].thread);
        mem_free(posters[i].letters);
    }
    mailbox_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wake_is_a_flag),
        cmocka_unit_test(items_are_taken_oldest_first),
        cmocka_unit_test(a_round_wakes_once_at_its_end),
        cmocka_unit_test(what_was_taken_before_a_round_ends_is_rung_for_once),
        cmocka_unit_test(a_mailbox_may_go_before_the_round_ends),
        cmocka_unit_test(more_mailboxes_than_a_round_has_room_for),
        cmocka_unit_test(nothing_is_lost_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

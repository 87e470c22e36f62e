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

enum { POSTERS = 4, LETTERS = 20000 };

struct poster {
    struct thread thread;
    struct mailbox *mailbox;
    struct letter *letters;
};

static void post_all(void *arg)
{
    struct poster *p = arg;
    for (unsigned i = 0; i < LETTERS; i++)
        mailbox_post(p->mailbox, &p->letters[i].item);
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
    struct poster posters[POSTERS] = {0};
    unsigned next[POSTERS] = {0};
    unsigned left = POSTERS * LETTERS;
    (void)state;
    assert_int_equal(mailbox_init(&m, NULL), ERR_NONE);
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
    assert_false(is_raised(mailbox_fd(&m), 0));
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
        cmocka_unit_test(nothing_is_lost_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

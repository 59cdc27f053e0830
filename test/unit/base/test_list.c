/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct item {
    int value;
    struct rusm__list node;
};

static int value_of(struct rusm__list *node) {
    return rusm__list_entry(node, struct item, node)->value;
}

static void list_keeps_order_both_ways(void **state) {
    (void)state;
    struct rusm__list head;
    struct item items[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
    rusm__list_init(&head);
    rusm__list_push_back(&head, &items[1].node);
    rusm__list_push_back(&head, &items[2].node);
    rusm__list_push_front(&head, &items[0].node);
    rusm__list_insert_before(&head, &items[3].node);
    int wanted = 0;
    rusm__list_each(node, &head) {
        assert_int_equal(value_of(node), wanted++);
    }
    assert_int_equal(wanted, 4);
    for (struct rusm__list *node = head.prev; node != &head; node = node->prev)
        assert_int_equal(value_of(node), --wanted);
    for (int i = 0; i < 4; i++)
        assert_int_equal(value_of(rusm__list_pop_front(&head)), i);
    assert_null(rusm__list_pop_front(&head));
    assert_true(rusm__list_is_empty(&head));
}

static void list_unlink_twice_does_no_harm(void **state) {
    (void)state;
    struct rusm__list head;
    struct item a = {.value = 1}, b = {.value = 2};
    rusm__list_init(&head);
    rusm__list_push_back(&head, &a.node);
    rusm__list_push_back(&head, &b.node);
    rusm__list_unlink(&a.node);
    rusm__list_unlink(&a.node);
    assert_ptr_equal(head.next, &b.node);
    assert_ptr_equal(head.prev, &b.node);
    assert_true(rusm__list_is_empty(&a.node));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_keeps_order_both_ways),
        cmocka_unit_test(list_unlink_twice_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

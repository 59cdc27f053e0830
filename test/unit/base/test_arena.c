/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/mem.h"

static void allocations_are_zeroed_aligned_and_apart(void **state) {
    (void)state;
    struct rusm__arena arena;
    unsigned char *taken[2000];
    rusm__arena_init(&arena);
    for (size_t i = 0; i < 2000; i++) {
        size_t len = i % 97; /* 0 too */
        taken[i] = rusm__arena_try_alloc(&arena, len);
        assert_non_null(taken[i]);
        assert_int_equal((uintptr_t)taken[i] % 16, 0);
        for (size_t b = 0; b < len; b++) {
            assert_int_equal(taken[i][b], 0);
        }
        memset(taken[i], (int)(i % 251) + 1, len);
    }
    for (size_t i = 0; i < 2000; i++) { /* nobody wrote into another's bytes */
        for (size_t b = 0; b < i % 97; b++) {
            assert_int_equal(taken[i][b], i % 251 + 1);
        }
    }
    assert_false(arena.failed);
    rusm__arena_fini(&arena);
}

static void large_request_keeps_the_rest_of_the_block(void **state) {
    (void)state;
    struct rusm__arena arena;
    rusm__arena_init(&arena);
    unsigned char *before = rusm__arena_try_alloc(&arena, 16);
    unsigned char *large = rusm__arena_try_alloc(&arena, 1u << 20);
    unsigned char *after = rusm__arena_try_alloc(&arena, 16);
    assert_non_null(before);
    assert_non_null(large);
    assert_ptr_equal(after, before + 16);
    memset(large, 1, 1u << 20);
    rusm__arena_fini(&arena);
    assert_null(arena.blocks); /* may be used again, and fini twice is harmless */
    assert_non_null(rusm__arena_try_alloc(&arena, 1));
    rusm__arena_fini(&arena);
    rusm__arena_fini(&arena);
}

static void impossible_sizes_are_refused_and_remembered(void **state) {
    (void)state;
    struct rusm__arena arena;
    rusm__arena_init(&arena);
    assert_null(rusm__arena_try_alloc(&arena, SIZE_MAX));
    assert_true(arena.failed);
    arena.failed = false;
    assert_null(rusm__arena_try_array(&arena, SIZE_MAX / 2, 4));
    assert_true(arena.failed);
    arena.failed = false;
    assert_null(rusm__arena_try_strndup(&arena, "", SIZE_MAX));
    assert_true(arena.failed);
    rusm__arena_fini(&arena);
}

static void failed_block_fails_only_that_allocation(void **state) {
    (void)state;
    struct rusm__arena arena;
    rusm__arena_init(&arena);
    rusm__mem_fail_nth(1);
    assert_null(rusm__arena_try_alloc(&arena, 8));
    assert_true(arena.failed);
    assert_non_null(rusm__arena_try_alloc(&arena, 8));
    rusm__mem_fail_nth(0);
    rusm__arena_fini(&arena);
}

static void texts_are_copied_and_printed(void **state) {
    (void)state;
    struct rusm__arena arena;
    rusm__arena_init(&arena);
    assert_string_equal(rusm__arena_try_strndup(&arena, "abcdef", 3), "abc");
    assert_string_equal(rusm__arena_try_strndup(&arena, "", 0), "");
    assert_string_equal(rusm__arena_try_printf(&arena, "%s-%d", "x", 7), "x-7");
    char *wide = rusm__arena_try_printf(&arena, "%5000d", 1);
    assert_int_equal(strlen(wide), 5000);
    rusm__arena_fini(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_zeroed_aligned_and_apart),
        cmocka_unit_test(large_request_keeps_the_rest_of_the_block),
        cmocka_unit_test(impossible_sizes_are_refused_and_remembered),
        cmocka_unit_test(failed_block_fails_only_that_allocation),
        cmocka_unit_test(texts_are_copied_and_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

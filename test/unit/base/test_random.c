/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"

static void random_same_seed_same_numbers(void **state) {
    (void)state;
    struct rusm__random a, b, c;
    rusm__random_seed(&a, 42);
    rusm__random_seed(&b, 42);
    rusm__random_seed(&c, 43);
    int differ = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t value = rusm__random_u64(&a);
        assert_true(value == rusm__random_u64(&b));
        differ += value != rusm__random_u64(&c);
    }
    assert_true(differ >= 999);
}

/* The first outputs of xoshiro256** from the state 1, 2, 3, 4, as its published test values. */
static void random_is_xoshiro256_starstar(void **state) {
    (void)state;
    struct rusm__random r = {{1, 2, 3, 4}};
    assert_true(rusm__random_u64(&r) == 11520);
    assert_true(rusm__random_u64(&r) == 0);
    assert_true(rusm__random_u64(&r) == 1509978240);
    assert_true(rusm__random_u64(&r) == 1215971899390074240ull);
}

static void random_below_is_even_and_in_range(void **state) {
    (void)state;
    struct rusm__random r;
    unsigned counts[7] = {0};
    rusm__random_seed(&r, 7);
    for (int i = 0; i < 70000; i++) {
        uint32_t value = rusm__random_below(&r, 7);
        assert_true(value < 7);
        counts[value]++;
    }
    for (int i = 0; i < 7; i++) /* a fixed seed, so this is no gamble */
        assert_in_range(counts[i], 9600, 10400);
    assert_int_equal(rusm__random_below(&r, 1), 0);
    assert_int_equal(rusm__random_below(&r, 0), 0);
    for (int i = 0; i < 1000; i++)
        assert_true(rusm__random_below(&r, 0x80000001u) <= 0x80000000u);
}

static void random_system_fills_every_byte(void **state) {
    (void)state;
    unsigned char seen[1000] = {0};
    unsigned char bytes[1000];
    for (int round = 0; round < 20; round++) { /* a byte stays 0 in all with chance 256^-20 */
        rusm__random_system(bytes, sizeof bytes);
        for (size_t i = 0; i < sizeof bytes; i++)
            seen[i] |= bytes[i];
    }
    for (size_t i = 0; i < sizeof seen; i++)
        assert_int_not_equal(seen[i], 0);
    assert_true(rusm__random_system_u64() != rusm__random_system_u64());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_same_seed_same_numbers),
        cmocka_unit_test(random_is_xoshiro256_starstar),
        cmocka_unit_test(random_below_is_even_and_in_range),
        cmocka_unit_test(random_system_fills_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

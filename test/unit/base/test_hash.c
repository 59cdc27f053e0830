/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"

/* Values of an independent implementation (CPython's bytes hash, PYTHONHASHSEED=0: key 0, 0). */
static void hash_is_siphash_1_3(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t hash;
    } known[] = {
        {"a", 0x407448d2b89b1813ull},
        {"abcdefg", 0x6db12aae9070f506ull},
        {"abcdefgh", 0x3f7b849c0b8e35eaull},
        {"registered-name", 0xe5591b74dc19954cull},
    };
    struct rusm__hash_key key = {0, 0};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_true(rusm__hash_bytes(&key, known[i].text, strlen(known[i].text)) == known[i].hash);
    unsigned char bytes[64];
    for (int i = 0; i < 64; i++)
        bytes[i] = (unsigned char)i;
    assert_true(rusm__hash_bytes(&key, bytes, sizeof bytes) == 0x75e05fd5bbc870c6ull);
}

static void hash_depends_on_key_and_length(void **state) {
    (void)state;
    struct rusm__hash_key one = rusm__hash_key_random();
    struct rusm__hash_key two = rusm__hash_key_random();
    assert_true(one.k0 != two.k0 || one.k1 != two.k1);
    assert_true(rusm__hash_bytes(&one, "name", 4) != rusm__hash_bytes(&two, "name", 4));
    unsigned char zeros[32] = {0};
    for (size_t len = 1; len <= sizeof zeros; len++)
        assert_true(rusm__hash_bytes(&one, zeros, len) != rusm__hash_bytes(&one, zeros, len - 1));
}

static void hash_does_not_care_about_alignment(void **state) {
    (void)state;
    struct rusm__hash_key key = {3, 4};
    char shifted[40];
    uint64_t wanted = rusm__hash_bytes(&key, "the same text again", 19);
    for (size_t shift = 0; shift < 16; shift++) {
        memcpy(shifted + shift, "the same text again", 19);
        assert_true(rusm__hash_bytes(&key, shifted + shift, 19) == wanted);
    }
}

/* Consecutive numbers must not fall into few buckets of a table that uses the low bits. */
static void hash_u64_spreads_consecutive_numbers(void **state) {
    (void)state;
    unsigned buckets[256] = {0};
    for (uint64_t i = 0; i < 256 * 64; i++)
        buckets[rusm__hash_u64(i << 32) & 255]++;
    for (int i = 0; i < 256; i++)
        assert_in_range(buckets[i], 24, 120);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_is_siphash_1_3),
        cmocka_unit_test(hash_depends_on_key_and_length),
        cmocka_unit_test(hash_does_not_care_about_alignment),
        cmocka_unit_test(hash_u64_spreads_consecutive_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "rusm/error.h"
#include "rusm/version.h"

static const int codes[] = {
#define CODE(name, value, text) RUSM_##name,
    RUSM_ERROR_MAP(CODE)
#undef CODE
};
enum { COUNT = sizeof codes / sizeof codes[0] };

static void error_every_code_has_a_name_and_a_text_of_its_own(void **state) {
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        assert_true(codes[i] < 0);
        assert_int_equal(strncmp(rusm_error_name(codes[i]), "RUSM_E", 6), 0);
        size_t len = strlen(rusm_error_text(codes[i]));
        assert_true(len > 0 && rusm_error_text(codes[i])[len - 1] != '.');
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(rusm_error_name(codes[i]), rusm_error_name(codes[j]));
            assert_string_not_equal(rusm_error_text(codes[i]), rusm_error_text(codes[j]));
        }
    }
}

static void error_knows_success_and_strangers(void **state) {
    (void)state;
    assert_string_equal(rusm_error_name(RUSM_OK), "RUSM_OK");
    assert_string_equal(rusm_error_name(RUSM_ENOPROC), "RUSM_ENOPROC");
    assert_string_equal(rusm_error_text(RUSM_ENOPROC), "no such process");
    const int strangers[] = {1, -1000, -2147483647 - 1, 2147483647};
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        assert_string_equal(rusm_error_name(strangers[i]), "RUSM_UNKNOWN");
        assert_string_equal(rusm_error_text(strangers[i]), "unknown error");
    }
}

static void version_of_library_and_header_agree(void **state) {
    (void)state;
    char wanted[64];
    snprintf(wanted, sizeof wanted, "%d.%d.%d", RUSM_VERSION_MAJOR, RUSM_VERSION_MINOR,
             RUSM_VERSION_PATCH);
    assert_string_equal(rusm_version(), wanted);
    assert_string_equal(rusm_version(), RUSM_VERSION_STRING);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_every_code_has_a_name_and_a_text_of_its_own),
        cmocka_unit_test(error_knows_success_and_strangers),
        cmocka_unit_test(version_of_library_and_header_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "node/dotenv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "rusm/error.h"

/* Parse a text and compare one variable: NULL stands for "not set". */
static void expect(const char *text, const char *name, const char *value) {
    struct rusm__dotenv env;
    struct rusm__buf error;
    rusm__dotenv_init(&env);
    rusm__buf_init(&error);
    int code = rusm__dotenv_parse(&env, ".env", text, strlen(text), &error);
    assert_string_equal(rusm__buf_cstr(&error), "");
    assert_int_equal(code, RUSM_OK);
    const char *found = rusm__dotenv_get(&env, name);
    if (value) {
        assert_non_null(found);
        assert_string_equal(found, value);
    } else {
        assert_null(found);
    }
    rusm__buf_fini(&error);
    rusm__dotenv_fini(&env);
}

static void refuse(const char *text, const char *message) {
    struct rusm__dotenv env;
    struct rusm__buf error;
    rusm__dotenv_init(&env);
    rusm__buf_init(&error);
    assert_int_equal(rusm__dotenv_parse(&env, ".env", text, strlen(text), &error), RUSM_ECONFIG);
    assert_string_equal(rusm__buf_cstr(&error), message);
    rusm__buf_fini(&error);
    rusm__dotenv_fini(&env);
}

static void plain_values(void **state) {
    (void)state;
    expect("RT_A=1", "RT_A", "1");
    expect("  RT_A = some \nRT_B=2\r\n", "RT_A", "some");
    expect("RT_A=1\r\nRT_B=2\r\n", "RT_B", "2");
    expect("export RT_A=1", "RT_A", "1");
    expect("export=1", "export", "1");
    expect("RT_A=", "RT_A", "");
    expect("RT_A=a#b", "RT_A", "a#b");
    expect("RT_A=a # b", "RT_A", "a");
    expect("# RT_A=1\n\n \t\n", "RT_A", NULL);
    expect("\xef\xbb\xbfRT_A=1", "RT_A", "1");
    expect("", "RT_A", NULL);
}

static void quoted_values(void **state) {
    (void)state;
    expect("RT_A='a $RT_B \\n \"'", "RT_A", "a $RT_B \\n \"");
    expect("RT_A=\"a\\n\\\"\\\\\\$\"", "RT_A", "a\n\"\\$");
    expect("RT_A='one\ntwo'\nRT_B=3", "RT_A", "one\ntwo");
    expect("RT_A='one\ntwo'\nRT_B=3", "RT_B", "3");
    expect("RT_A=a'b c'\"d\"e", "RT_A", "ab cde");
    expect("RT_A=a\\ b", "RT_A", "a b");
    expect("RT_A='' # nothing", "RT_A", "");
}

static void variables_are_replaced(void **state) {
    (void)state;
    setenv("RT_REAL", "real", 1);
    expect("RT_A=1\nRT_B=$RT_A-2", "RT_B", "1-2");
    expect("RT_A=1\nRT_B=\"${RT_A}2\"", "RT_B", "12");
    expect("RT_B=$RT_REAL", "RT_B", "real");
    expect("RT_B=<$RT_NOBODY>", "RT_B", "<>");
    expect("RT_B=5$", "RT_B", "5$");
    expect("RT_B=$5", "RT_B", "$5");
    unsetenv("RT_REAL");
}

static void real_environment_wins(void **state) {
    (void)state;
    setenv("RT_REAL", "real", 1);
    expect("RT_REAL=file", "RT_REAL", "real");
    unsetenv("RT_REAL");
    expect("RT_REAL=file", "RT_REAL", "file");
}

static void first_of_two_lines_counts(void **state) {
    (void)state;
    expect("RT_A=1\nRT_A=2", "RT_A", "1");
}

static void every_bad_line_is_named(void **state) {
    (void)state;
    refuse("RT_A=1\nrubbish\nRT_B=a b\n=x", "invalid .env:2: expected `=` behind the name\n"
                                            "invalid .env:3: a value with blanks needs quotes\n"
                                            "invalid .env:4: expected NAME=value");
    refuse("RT_A='open", "invalid .env:1: a single quote is not closed");
    refuse("RT_A=\"open\n\n", "invalid .env:1: a double quote is not closed");
    refuse("RT_A=\"\\q\"", "invalid .env:1: unknown escape: use \\n \\\\ \\\" \\' \\$");
    refuse("RT_A=\\", "invalid .env:1: a backslash at the end");
    refuse("RT_A=${RT_B", "invalid .env:1: `${` without its `}`");
    refuse("RT_A=${}", "invalid .env:1: `${` without a name");
    refuse("1A=x", "invalid .env:1: expected NAME=value");
}

static void values_cannot_grow_without_bound(void **state) {
    (void)state;
    /* Each line is eight times the one before: the seventh would be a mebibyte. */
    char text[1024] = "RT_0=12345678\n";
    for (int i = 1; i < 8; i++) {
        char line[128];
        snprintf(line, sizeof(line), "RT_%d=$RT_%d$RT_%d$RT_%d$RT_%d$RT_%d$RT_%d$RT_%d$RT_%d\n", i,
                 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
        strcat(text, line);
    }
    refuse(text, "invalid .env:6: the value is longer than 64 KiB");
    /* Nor within quotes: it is refused where it passes the bound, before what is wrong behind. */
    strcpy(strstr(text, "RT_5="), "RT_5=\"$RT_4$RT_4$RT_4\\x\"");
    refuse(text, "invalid .env:6: the value is longer than 64 KiB");
}

static void zero_bytes_are_refused(void **state) {
    (void)state;
    struct rusm__dotenv env;
    struct rusm__buf error;
    rusm__dotenv_init(&env);
    rusm__buf_init(&error);
    assert_int_equal(rusm__dotenv_parse(&env, ".env", "RT_A=a\0b", 8, &error), RUSM_ECONFIG);
    assert_string_equal(rusm__buf_cstr(&error), "invalid .env:1: a zero byte");
    rusm__buf_fini(&error);
    rusm__dotenv_fini(&env);
}

/* ---- files ---- */

static char folder[] = "/tmp/rusm-dotenv-XXXXXX";

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int load(const char *root, const char *name, char *out, size_t size) {
    struct rusm__dotenv env;
    struct rusm__buf error;
    rusm__dotenv_init(&env);
    rusm__buf_init(&error);
    int code = rusm__dotenv_load(&env, root, &error);
    const char *value = rusm__dotenv_get(&env, name);
    snprintf(out, size, "%s", code < 0 ? rusm__buf_cstr(&error) : value ? value : "(not set)");
    rusm__buf_fini(&error);
    rusm__dotenv_fini(&env);
    return code;
}

static void nearest_file_is_read(void **state) {
    (void)state;
    char path[128], sub[128], out[256];
    snprintf(path, sizeof(path), "%s/.env", folder);
    snprintf(sub, sizeof(sub), "%s/a", folder);
    write_file(path, "RT_WHERE=above");
    assert_int_equal(load(sub, "RT_WHERE", out, sizeof(out)), RUSM_OK);
    assert_string_equal(out, "above");
    snprintf(path, sizeof(path), "%s/a/.env", folder);
    write_file(path, "RT_WHERE=here");
    assert_int_equal(load(sub, "RT_WHERE", out, sizeof(out)), RUSM_OK);
    assert_string_equal(out, "here");
}

static void what_cannot_be_read_is_an_error(void **state) {
    (void)state;
    char path[128], out[256], expected[256];
    snprintf(path, sizeof(path), "%s/a/.env", folder);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(out, sizeof(out), "%s/a", folder);
    assert_int_equal(load(out, "RT_WHERE", out, sizeof(out)), RUSM_ECONFIG);
    snprintf(expected, sizeof(expected), "cannot read %s: Is a directory", path);
    assert_string_equal(out, expected);
    rmdir(path);
}

static int make_folder(void **state) {
    (void)state;
    char sub[128];
    if (!mkdtemp(folder))
        return -1;
    snprintf(sub, sizeof(sub), "%s/a", folder);
    return mkdir(sub, 0700);
}

static int remove_folder(void **state) {
    (void)state;
    static const char *const parts[] = {"/a/.env", "/a", "/.env", ""};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s%s", folder, parts[i]);
        remove(path);
    }
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_values),
        cmocka_unit_test(quoted_values),
        cmocka_unit_test(variables_are_replaced),
        cmocka_unit_test(real_environment_wins),
        cmocka_unit_test(first_of_two_lines_counts),
        cmocka_unit_test(every_bad_line_is_named),
        cmocka_unit_test(values_cannot_grow_without_bound),
        cmocka_unit_test(zero_bytes_are_refused),
        cmocka_unit_test(nearest_file_is_read),
        cmocka_unit_test(what_cannot_be_read_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

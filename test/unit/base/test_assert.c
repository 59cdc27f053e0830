/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"

static void report_more(int fd) {
    if (write(fd, "and more\n", 9) != 9)
        _exit(1);
    RUSM_CHECK(!"the reporter itself fails"); /* must not call it again */
}

/* Run in a child what should abort; collect what it wrote to standard error. */
static int status_of_child(void (*body)(void), char *text, size_t size) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL); /* a test framework's handler would go on in the child */
        dup2(ends[1], STDERR_FILENO);
        body();
        _exit(0);
    }
    close(ends[1]);
    size_t len = 0;
    ssize_t got;
    while ((got = read(ends[0], text + len, size - 1 - len)) > 0)
        len += (size_t)got;
    text[len] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void break_an_invariant(void) {
    RUSM_CHECK(1 + 1 == 3);
}

static void break_one_with_a_reporter(void) {
    rusm__assert_set_reporter(report_more);
    RUSM_CHECK(1 + 1 == 3);
}

static void keep_all_invariants(void) {
    RUSM_CHECK(1 + 1 == 2);
    RUSM_ASSERT(2 + 2 == 4);
    if (RUSM_NEVER(1 + 1 == 3))
        _exit(1);
}

static void check_reports_condition_and_place_then_aborts(void **state) {
    (void)state;
    char text[2048];
    int status = status_of_child(break_an_invariant, text, sizeof text);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "broken invariant: 1 + 1 == 3 ("));
    assert_non_null(strstr(text, "test_assert.c:"));
    assert_non_null(strstr(text, "break_an_invariant"));
}

static void check_lets_the_reporter_add_once(void **state) {
    (void)state;
    char text[2048];
    int status = status_of_child(break_one_with_a_reporter, text, sizeof text);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    const char *more = strstr(text, "and more\n");
    assert_non_null(more);
    assert_null(strstr(more + 1, "and more\n"));
}

static void check_is_silent_when_all_is_well(void **state) {
    (void)state;
    char text[256];
    int status = status_of_child(keep_all_invariants, text, sizeof text);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_string_equal(text, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_reports_condition_and_place_then_aborts),
        cmocka_unit_test(check_lets_the_reporter_add_once),
        cmocka_unit_test(check_is_silent_when_all_is_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

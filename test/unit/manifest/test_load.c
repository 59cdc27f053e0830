/* SPDX-License-Identifier: MIT */
/* Files: what is missing, what cannot be read, what is not a manifest at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rusm/error.h"

#include "manifest/manifest.h"
#include "manifest/toml_shim.h"

struct fixture {
    char folder[64];
    char path[128];
    struct rusm__report report;
    struct rusm__manifest *manifest;
    struct rusm__buf text;
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    strcpy(f->folder, "/tmp/rusm-manifest-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof(f->path), "%s/rusm.toml", f->folder);
    rusm__report_init(&f->report);
    rusm__buf_init(&f->text);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    rusm__manifest_free(f->manifest);
    rusm__report_fini(&f->report);
    rusm__buf_fini(&f->text);
    remove(f->path);
    assert_int_equal(rmdir(f->folder), 0);
    free(f);
    return 0;
}

static void write_file(struct fixture *f, const void *bytes, size_t len) {
    FILE *file = fopen(f->path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void expect(struct fixture *f, bool named, int code, const char *format) {
    char expected[512];
    snprintf(expected, sizeof(expected), format, f->path);
    assert_int_equal(rusm__manifest_load(f->path, named, &f->manifest, &f->report), code);
    rusm__report_print(&f->report, true, &f->text);
    assert_string_equal(rusm__buf_cstr(&f->text), expected);
    if (f->report.errors != 0) {
        assert_null(f->manifest);
    }
}

static void missing_default_file_means_defaults(void **state) {
    struct fixture *f = *state;
    expect(f, false, RUSM_OK, "");
    assert_false(f->manifest->found);
    assert_string_equal(f->manifest->path, f->path);
    assert_int_equal(f->manifest->serve_count, 0);
}

static void missing_named_file_is_an_error(void **state) {
    expect(*state, true, RUSM_ECONFIG, "cannot read %s: No such file or directory");
}

static void empty_file_means_defaults(void **state) {
    struct fixture *f = *state;
    write_file(f, "", 0);
    expect(f, true, RUSM_OK, "");
    assert_true(f->manifest->found);
}

static void folder_is_an_error(void **state) {
    struct fixture *f = *state;
    assert_int_equal(mkdir(f->path, 0700), 0);
    expect(f, false, RUSM_ECONFIG, "cannot read %s: Is a directory");
}

static void file_below_a_file_is_an_error_and_not_missing(void **state) {
    struct fixture *f = *state;
    write_file(f, "", 0);
    size_t len = strlen(f->path);
    strcat(f->path, "/rusm.toml");
    expect(f, false, RUSM_ECONFIG, "cannot read %s: Not a directory");
    f->path[len] = '\0';
}

static void unreadable_file_is_an_error(void **state) {
    struct fixture *f = *state;
    bool root = geteuid() == 0; /* who reads everything */
    write_file(f, "", 0);
    assert_int_equal(chmod(f->folder, 0755), 0);
    assert_int_equal(chmod(f->path, 0), 0);
    assert_int_equal(root ? seteuid(65534) : 0, 0);
    int code = rusm__manifest_load(f->path, false, &f->manifest, &f->report);
    assert_int_equal(root ? seteuid(0) : 0, 0);
    assert_int_equal(code, RUSM_ECONFIG);
    assert_non_null(strstr(f->report.problems[0].text, ": Permission denied"));
}

static void bytes_that_are_not_utf8_are_an_error(void **state) {
    struct fixture *f = *state;
    static const char bytes[] = "# \xc3\xa9\n# \xc3\xa9\xff";
    write_file(f, bytes, sizeof(bytes) - 1);
    expect(f, false, RUSM_ECONFIG, "invalid %s:2:4: not valid UTF-8");
}

static void zero_byte_is_an_error(void **state) {
    struct fixture *f = *state;
    write_file(f, "\0", 1);
    assert_int_equal(rusm__manifest_load(f->path, false, &f->manifest, &f->report), RUSM_ECONFIG);
    assert_int_equal(f->report.problems[0].at.line, 1);
}

static void size_is_limited_to_one_mebibyte(void **state) {
    struct fixture *f = *state;
    char *text = malloc(RUSM__TOML_BYTES_MAX + 1);
    assert_non_null(text);
    memset(text, '#', RUSM__TOML_BYTES_MAX + 1);
    write_file(f, text, RUSM__TOML_BYTES_MAX);
    expect(f, false, RUSM_OK, "");
    rusm__manifest_free(f->manifest);
    f->manifest = NULL;
    write_file(f, text, RUSM__TOML_BYTES_MAX + 1);
    expect(f, false, RUSM_ECONFIG, "cannot read %s: the file is larger than 1 MiB");
    free(text);
}

static void endless_file_is_an_error(void **state) {
    struct fixture *f = *state;
    assert_int_equal(symlink("/dev/zero", f->path), 0);
    expect(f, true, RUSM_ECONFIG, "cannot read %s: the file is larger than 1 MiB");
}

static void problems_of_the_file_are_sorted_by_place(void **state) {
    struct fixture *f = *state;
    static const char text[] = "[components.a]\ncapability = \"b\"\n[node]\nx = 1\n[log]\ny = 1\n";
    write_file(f, text, sizeof(text) - 1);
    assert_int_equal(rusm__manifest_load(f->path, false, &f->manifest, &f->report), RUSM_ECONFIG);
    assert_int_equal(f->report.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(f->report.problems[i].at.line, 2 * i + 2);
    }
    assert_non_null(f->manifest); /* for the look for unsupported features */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(missing_default_file_means_defaults),
        CASE(missing_named_file_is_an_error),
        CASE(empty_file_means_defaults),
        CASE(folder_is_an_error),
        CASE(file_below_a_file_is_an_error_and_not_missing),
        CASE(unreadable_file_is_an_error),
        CASE(bytes_that_are_not_utf8_are_an_error),
        CASE(zero_byte_is_an_error),
        CASE(size_is_limited_to_one_mebibyte),
        CASE(endless_file_is_an_error),
        CASE(problems_of_the_file_are_sorted_by_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

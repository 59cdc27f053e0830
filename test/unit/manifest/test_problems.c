/* SPDX-License-Identifier: MIT */
/* Every file of test/data/manifest/{good,bad} says exactly what stands in its .expect file, which
 * is what `rusm check` would print. A good file may ask for what is not supported yet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>

#include "rusm/error.h"

#include "manifest/manifest.h"

static char *read_file(const char *path, size_t *out_len) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    char *text = malloc(2u << 20);
    assert_non_null(text);
    *out_len = fread(text, 1, (2u << 20) - 1, file);
    text[*out_len] = '\0';
    fclose(file);
    return text;
}

/* What the command line would print, with a final newline unless it is empty. */
static int explain(const char *text, size_t len, struct rusm__buf *out) {
    struct rusm__report report;
    struct rusm__manifest *manifest;
    rusm__report_init(&report);
    int code = rusm__manifest_parse("rusm.toml", text, len, &manifest, &report);
    if (manifest != NULL) {
        int lacking = rusm__manifest_unsupported(manifest, RUSM__FOR_CHECK, &report);
        assert_true(lacking == RUSM_OK || lacking == RUSM_ENOTSUP);
    }
    rusm__report_print(&report, true, out);
    rusm__buf_add_str(out, out->len == 0 ? "" : "\n");
    rusm__report_fini(&report);
    rusm__manifest_free(manifest);
    return code;
}

static bool ends_with(const char *name, const char *end) {
    size_t len = strlen(name), end_len = strlen(end);
    return len > end_len && strcmp(name + len - end_len, end) == 0;
}

/* Returns whether the file says what it should. */
static bool check_file(const char *folder, const char *name, int expected_code) {
    char path[1024];
    size_t len, expected_len;
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    char *text = read_file(path, &len);
    assert_non_null(text);
    strcpy(path + strlen(path) - strlen("toml"), "expect");
    char *expected = read_file(path, &expected_len);
    struct rusm__buf found;
    rusm__buf_init(&found);
    int code = explain(text, len, &found);
    bool good = code == expected_code && expected != NULL && found.len == expected_len &&
                memcmp(rusm__buf_cstr(&found), expected, expected_len) == 0;
    if (!good) {
        print_error("%s: result %d (expected %d), text:\n%s--- expected:\n%s---\n", name, code,
                    expected_code, rusm__buf_cstr(&found), expected ? expected : "(no file)\n");
    }
    rusm__buf_fini(&found);
    free(expected);
    free(text);
    return good;
}

static void check_folder(const char *name, int expected_code, size_t at_least) {
    char folder[512];
    snprintf(folder, sizeof(folder), "%s/manifest/%s", RUSM_TEST_DATA, name);
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    size_t files = 0, expects = 0, wrong = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        expects += ends_with(entry->d_name, ".expect");
        if (ends_with(entry->d_name, ".toml")) {
            files++;
            wrong += !check_file(folder, entry->d_name, expected_code);
        }
    }
    closedir(dir);
    assert_int_equal(wrong, 0);
    assert_int_equal(files, expects);
    assert_true(files >= at_least);
}

static void good_manifests_are_accepted(void **state) {
    (void)state;
    check_folder("good", RUSM_OK, 8);
}

static void bad_manifests_are_explained(void **state) {
    (void)state;
    check_folder("bad", RUSM_ECONFIG, 25);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_manifests_are_accepted),
        cmocka_unit_test(bad_manifests_are_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

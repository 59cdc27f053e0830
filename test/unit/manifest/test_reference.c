/* SPDX-License-Identifier: MIT */
/* docs/manifest.md says what the tables of keys say. After a change of the tables run this program
 * with --write: it prints the tables into the manual. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rusm/error.h"

#include "manifest/keys.h"
#include "manifest/manifest.h"
#include "manifest/unsupported.h"

#define MANUAL RUSM_TEST_DATA "/../../docs/manifest.md"

static const char begin_mark[] = "do not edit (see test_reference.c) -->\n";
static const char end_mark[] = "<!-- end of keys -->\n";

static char *read_manual(void) {
    FILE *file = fopen(MANUAL, "rb");
    char *text = calloc(1, 1u << 20);
    if (file == NULL || text == NULL) {
        fprintf(stderr, "cannot read %s\n", MANUAL);
        exit(1);
    }
    size_t len = fread(text, 1, (1u << 20) - 1, file);
    text[len] = '\0';
    fclose(file);
    return text;
}

/* The block between the marks; NULL if a mark is missing. */
static char *find_block(char *text, char **out_end) {
    char *block = strstr(text, begin_mark);
    *out_end = block == NULL ? NULL : strstr(block, end_mark);
    return *out_end == NULL ? NULL : block + strlen(begin_mark);
}

static void manual_has_the_tables_of_the_reader(void **state) {
    (void)state;
    char *text = read_manual(), *end;
    char *block = find_block(text, &end);
    struct rusm__buf printed;
    rusm__buf_init(&printed);
    rusm__manifest_reference(&printed);
    assert_non_null(block);
    *end = '\0';
    if (strcmp(block, rusm__buf_cstr(&printed)) != 0) {
        print_error("docs/manifest.md is out of date: run this test program with --write\n");
    }
    assert_string_equal(block, rusm__buf_cstr(&printed));
    rusm__buf_fini(&printed);
    free(text);
}

static void every_key_is_complete(void **state) {
    (void)state;
    const struct rusm__key_set *set;
    size_t keys = 0;
    for (size_t i = 0; (set = rusm__key_set_at(i)) != NULL; i++) {
        for (size_t k = 0; k < set->count; k++, keys++) {
            const struct rusm__key *key = &set->keys[k];
            assert_non_null(key->name);
            assert_true(strlen(key->meaning) > 5);
            assert_int_not_equal(key->used_by, 0);
            bool texts = key->type == RUSM__KEY_STRING || key->type == RUSM__KEY_STRINGS;
            assert_int_equal(texts, key->take != NULL);
            assert_int_equal(key->type == RUSM__KEY_WORD, key->words != NULL);
            if (texts || key->type == RUSM__KEY_INTEGER) {
                assert_true(key->max > key->min && key->min >= 0);
            }
            if (key->type == RUSM__KEY_INTEGER && key->width == sizeof(uint32_t)) {
                assert_true(key->max <= UINT32_MAX);
            }
        }
    }
    assert_true(keys > 50);
}

static void every_missing_feature_names_a_key_and_a_command(void **state) {
    (void)state;
    const struct rusm__feature *feature;
    for (size_t i = 0; (feature = rusm__feature_at(i)) != NULL; i++) {
        assert_true(feature->key < feature->set->count);
        /* A feature that a command needs belongs to a key that the command uses. */
        assert_int_equal(feature->commands & ~feature->set->keys[feature->key].used_by, 0);
        assert_int_not_equal(feature->commands, 0);
    }
}

/* The example at the end of the manual and the one of the routes are good manifests. */
static void examples_of_the_manual_are_good(void **state) {
    (void)state;
    char *text = read_manual();
    size_t examples = 0;
    for (char *at = text; (at = strstr(at, "```toml\n")) != NULL; examples++) {
        char *example = at + strlen("```toml\n");
        char *end = strstr(example, "```");
        assert_non_null(end);
        char whole[4096];
        snprintf(whole, sizeof(whole), "%.*s%s", (int)(end - example), example,
                 strstr(example, "[components.") != NULL && strstr(example, "[components.") < end
                     ? ""
                     : "[components.shop]\n");
        struct rusm__report report;
        struct rusm__manifest *manifest;
        rusm__report_init(&report);
        assert_int_equal(rusm__manifest_parse("example", whole, strlen(whole), &manifest, &report),
                         RUSM_OK);
        assert_int_equal(report.count, 0);
        assert_int_equal(rusm__manifest_unsupported(manifest, RUSM__FOR_CHECK, &report), RUSM_OK);
        rusm__manifest_free(manifest);
        rusm__report_fini(&report);
        at = end;
    }
    assert_true(examples >= 2);
    free(text);
}

static int write_manual(void) {
    char *text = read_manual(), *end;
    char *block = find_block(text, &end);
    struct rusm__buf printed;
    rusm__buf_init(&printed);
    rusm__manifest_reference(&printed);
    FILE *file = block == NULL ? NULL : fopen(MANUAL, "wb");
    if (file == NULL) {
        fprintf(stderr, "cannot write %s\n", MANUAL);
        return 1;
    }
    fprintf(file, "%.*s%s%s", (int)(block - text), text, rusm__buf_cstr(&printed), end);
    rusm__buf_fini(&printed);
    free(text);
    return fclose(file) == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--write") == 0) {
        return write_manual();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(manual_has_the_tables_of_the_reader),
        cmocka_unit_test(every_key_is_complete),
        cmocka_unit_test(every_missing_feature_names_a_key_and_a_command),
        cmocka_unit_test(examples_of_the_manual_are_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The tree that comes out of the TOML parser: kinds, values, places, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rusm/error.h"

#include "manifest/reader.h"

struct parsed {
    struct rusm__arena arena;
    struct rusm__toml *root;
    struct rusm__toml_error error;
};

static int parse(struct parsed *p, const char *text, size_t len) {
    rusm__arena_init(&p->arena);
    return rusm__toml_parse(&p->arena, text, len, &p->root, &p->error);
}

static void check_place(struct rusm__pos at, uint32_t line, uint32_t column) {
    assert_int_equal(at.line, line);
    assert_int_equal(at.column, column);
}

static void values_and_places_survive(void **state) {
    (void)state;
    static const char text[] = "# \xc3\xa9 comment\n"
                               "s = \"a\\u0000b\"\n"
                               "i = -5\n"
                               "f = 1.5\n"
                               "b = true\n"
                               "d = 1979-05-27T07:32:00Z\n"
                               "\"\xc3\xa9\" = [1, [2, \"x\"]] # characters count, not bytes\n"
                               "[t]\n"
                               "a.b = 1\n"
                               "[[l]]\n"
                               "[[l]]\n"
                               "x = {}\n";
    struct parsed p;
    assert_int_equal(parse(&p, text, sizeof(text) - 1), RUSM_OK);
    assert_int_equal(p.root->kind, RUSM__TOML_TABLE);
    assert_int_equal(p.root->as.list.count, 8);
    const struct rusm__toml *s = rusm__toml_find(p.root, "s");
    assert_int_equal(s->kind, RUSM__TOML_STRING);
    assert_int_equal(s->as.string.len, 3);
    assert_memory_equal(s->as.string.ptr, "a\0b", 4);
    check_place(s->key_at, 2, 1);
    check_place(s->at, 2, 5);
    assert_int_equal(rusm__toml_find(p.root, "i")->as.integer, -5);
    assert_true(rusm__toml_find(p.root, "f")->as.real == 1.5);
    assert_true(rusm__toml_find(p.root, "b")->as.boolean);
    assert_int_equal(rusm__toml_find(p.root, "d")->kind, RUSM__TOML_DATE);
    const struct rusm__toml *list = rusm__toml_find(p.root, "\xc3\xa9");
    check_place(list->at, 7, 7);
    assert_int_equal(list->as.list.count, 2);
    check_place(list->as.list.items[1].as.list.items[1].at, 7, 15);
    const struct rusm__toml *table = rusm__toml_find(p.root, "t");
    check_place(table->at, 8, 1);
    check_place(table->key_at, 8, 2);
    check_place(rusm__toml_find(rusm__toml_find(table, "a"), "b")->key_at, 9, 3);
    const struct rusm__toml *tables = rusm__toml_find(p.root, "l");
    assert_int_equal(tables->as.list.count, 2);
    check_place(tables->as.list.items[1].at, 11, 1);
    assert_null(rusm__toml_find(p.root, "nothing"));
    assert_null(rusm__toml_find(s, "not a table"));
    rusm__arena_fini(&p.arena);
}

static void syntax_errors_have_a_place(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint32_t line;
    } cases[] = {{"a = ", 1},
                 {"a", 1},
                 {"\n[x\n", 2},
                 {"a = 1\na = 2\n", 2},
                 {"a = 'x", 1},
                 {"= 1", 1},
                 {"a = 1 b = 2", 1},
                 {"[a]\n[a]\n", 2},
                 {"a = 0x", 1},
                 {"\r", 1},
                 {"a = [1,,2]", 1},
                 {"a = \"\\q\"", 1},
                 {"a = 99999999999999999999", 1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct parsed p;
        assert_int_equal(parse(&p, cases[i].text, strlen(cases[i].text)), RUSM_ECONFIG);
        assert_null(p.root);
        assert_int_equal(p.error.at.line, cases[i].line);
        assert_true(p.error.at.column >= 1);
        assert_true(strlen(p.error.text) > 5);
        rusm__arena_fini(&p.arena);
    }
}

static void error_text_shows_no_control_characters(void **state) {
    (void)state;
    struct parsed p;
    static const char text[] = "a = \x1b[31m";
    assert_int_equal(parse(&p, text, sizeof(text) - 1), RUSM_ECONFIG);
    assert_null(strchr(p.error.text, '\x1b'));
    rusm__arena_fini(&p.arena);
}

/* "a.a.a = 1" with that many parts. */
static int parse_key_of(size_t parts, const char *head, const char *tail) {
    char *text = malloc(2 * parts + 64);
    assert_non_null(text);
    strcpy(text, head);
    size_t len = strlen(head);
    for (size_t i = 0; i < parts; i++) {
        memcpy(text + len, i == 0 ? "a" : ".a", i == 0 ? 1 : 2);
        len += i == 0 ? 1 : 2;
    }
    strcpy(text + len, tail);
    struct parsed p;
    int code = parse(&p, text, strlen(text));
    rusm__arena_fini(&p.arena);
    free(text);
    return code;
}

static void dotted_keys_have_a_limit(void **state) {
    (void)state;
    static const char *const heads[] = {"", "[", "[[", "x = { ", "# comment with ' and \"\n"};
    static const char *const tails[] = {" = 1\n", "]\n", "]]\n", " = 1 }\n", " = 1\n"};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(parse_key_of(RUSM__TOML_KEY_PARTS, heads[i], tails[i]), RUSM_OK);
        assert_int_equal(parse_key_of(RUSM__TOML_KEY_PARTS + 1, heads[i], tails[i]), RUSM_ECONFIG);
        assert_int_equal(parse_key_of(400000, heads[i], tails[i]), RUSM_ECONFIG);
    }
}

static void dots_in_strings_and_comments_do_not_count(void **state) {
    (void)state;
    static const char dots[] = "....................................";
    static const char *const formats[] = {
        "a = \"%s\"\n",
        "a = '%s'\n",
        "# %s\n",
        "a = \"\\\"%s\"\n",
        "a = \"\"\"\n%s\n\"\"\"\n",
        "a = '''%s'''\n",
        "\"%s\" = 1\n",
        "a = \"\"\"x\"\"%s\"\"\"\"\"\n",
        "a = \"\\\\\" # %s\n",
    };
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        char text[256];
        int len = snprintf(text, sizeof(text), formats[i], dots);
        struct parsed p;
        assert_int_equal(parse(&p, text, (size_t)len), RUSM_OK);
        rusm__arena_fini(&p.arena);
    }
}

static void nesting_has_a_limit(void **state) {
    (void)state;
    for (size_t depth = RUSM__TOML_VALUE_DEPTH; depth <= 300000;
         depth = depth < 20 ? depth + 1 : depth * 15) {
        char *text = calloc(1, 2 * depth + 8);
        assert_non_null(text);
        strcpy(text, "a=");
        memset(text + 2, '[', depth);
        memset(text + 2 + depth, ']', depth);
        struct parsed p;
        assert_int_equal(parse(&p, text, strlen(text)),
                         depth <= RUSM__TOML_VALUE_DEPTH ? RUSM_OK : RUSM_ECONFIG);
        rusm__arena_fini(&p.arena);
        free(text);
    }
}

/* What toml++ 3.3 gets wrong and the shim keeps from it. */
static void table_header_without_a_key_is_a_syntax_error(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint32_t column;
    } cases[] = {{"[=", 2},   {"[@x]", 2},       {"[[ [a]]", 4}, {"[[[a]]]", 3},
                 {"[", 0},    {"[[", 0},         {"[ ]", 0},     {"[\n", 2},
                 {"[.a]", 2}, {"[\xc3\xa9]", 2}, {" [ [a]]", 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct parsed p;
        assert_int_equal(parse(&p, cases[i].text, strlen(cases[i].text)), RUSM_ECONFIG);
        assert_int_equal(p.error.at.line, 1);
        assert_null(strstr(p.error.text, "make sense")); /* explained, not given up on */
        if (cases[i].column != 0) {
            assert_int_equal(p.error.at.column, cases[i].column);
        }
        rusm__arena_fini(&p.arena);
    }
}

static void brackets_in_values_are_no_headers(void **state) {
    (void)state;
    static const char text[] = "a = [\n[1], [\n[ 2 ]\n]]\nb = { c = [\"]\"] }\n[d]\n [[ e ]]\n";
    struct parsed p;
    assert_int_equal(parse(&p, text, sizeof(text) - 1), RUSM_OK);
    assert_int_equal(p.root->as.list.count, 4);
    rusm__arena_fini(&p.arena);
}

static void letters_beyond_ascii_are_no_blanks(void **state) {
    (void)state;
    struct parsed p;
    static const char list[] = "a = [\n\xc5\x91]";
    assert_int_equal(parse(&p, list, sizeof(list) - 1), RUSM_ECONFIG);
    rusm__arena_fini(&p.arena);
    static const char line_end[] = "a = \"\"\"\\\n  \xc5\x91 x\"\"\"";
    assert_int_equal(parse(&p, line_end, sizeof(line_end) - 1), RUSM_OK);
    assert_string_equal(rusm__toml_find(p.root, "a")->as.string.ptr, "\xc5\x91 x");
    rusm__arena_fini(&p.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_places_survive),
        cmocka_unit_test(syntax_errors_have_a_place),
        cmocka_unit_test(error_text_shows_no_control_characters),
        cmocka_unit_test(dotted_keys_have_a_limit),
        cmocka_unit_test(dots_in_strings_and_comments_do_not_count),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(table_header_without_a_key_is_a_syntax_error),
        cmocka_unit_test(brackets_in_values_are_no_headers),
        cmocka_unit_test(letters_beyond_ascii_are_no_blanks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

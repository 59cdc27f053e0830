/* SPDX-License-Identifier: MIT */
/* Matching: the documented cases, and an oracle that tries every route in turn by the rules of the
 * manual, over random route sets and targets. The seed is printed; RUSM_TEST_SEED replays one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <time.h>

#include "rusm/error.h"

#include "manifest/manifest.h"

/* ---- routes from patterns, without a manifest around them ---- */

#define MOST_ROUTES 48

struct table {
    struct rusm__arena arena;
    struct rusm__route list[MOST_ROUTES];
    size_t count;
    struct rusm__routes *routes;
};

static struct rusm__segment segment_of(const char *text, size_t len) {
    if (len == 1 && text[0] == '*') {
        return (struct rusm__segment){RUSM__SEGMENT_WILDCARD, text, 1};
    }
    return text[0] == ':' ? (struct rusm__segment){RUSM__SEGMENT_PARAM, text + 1, len - 1}
                          : (struct rusm__segment){RUSM__SEGMENT_LITERAL, text, len};
}

static void add_route(struct table *table, const char *key) {
    struct rusm__segment *segments =
        rusm__arena_try_array(&table->arena, RUSM__ROUTE_SEGMENTS_MAX + 1, sizeof(*segments));
    char *copy = rusm__arena_try_strndup(&table->arena, key, strlen(key));
    assert_non_null(segments);
    assert_non_null(copy);
    struct rusm__route *route = &table->list[table->count++];
    char *blank = strchr(copy, ' ');
    *route = (struct rusm__route){.key = key, .segments = segments};
    route->method = rusm__arena_try_strndup(&table->arena, copy, (size_t)(blank - copy));
    for (char *part = strtok(blank + 1, "/"); part != NULL; part = strtok(NULL, "/")) {
        segments[route->segment_count++] = segment_of(part, strlen(part));
    }
}

static int compile(struct table *table) {
    return rusm__routes_compile(&table->arena, table->list, table->count, &table->routes);
}

static void start(struct table *table) {
    rusm__arena_init(&table->arena);
    table->count = 0;
    table->routes = NULL;
}

static void check(const struct table *table, const char *method, const char *target,
                  const char *expected) {
    struct rusm__route_match match;
    enum rusm__route_result result =
        rusm__routes_match(table->routes, method, strlen(method), target, strlen(target), &match);
    if (expected == NULL) {
        assert_int_equal(result, RUSM__ROUTE_NO_PATH);
        assert_null(match.route);
    } else {
        assert_int_equal(result, RUSM__ROUTE_FOUND);
        assert_string_equal(match.route->key, expected);
    }
}

static void check_param(const struct table *table, const char *target, const char *name,
                        const char *value) {
    struct rusm__route_match match;
    char text[64];
    assert_int_equal(rusm__routes_match(table->routes, "GET", 3, target, strlen(target), &match),
                     RUSM__ROUTE_FOUND);
    assert_int_equal(match.param_count, 1);
    assert_int_equal(match.params[0].name_len, strlen(name));
    assert_memory_equal(match.params[0].name, name, strlen(name));
    size_t len = rusm__route_param_text(&match.params[0], text);
    assert_int_equal(len, strlen(value));
    assert_memory_equal(text, value, len);
}

/* ---- documented cases ---- */

static void parameter_takes_one_segment_and_the_query_is_cut(void **state) {
    (void)state;
    struct table t;
    start(&t);
    add_route(&t, "GET /users/:id");
    assert_int_equal(compile(&t), RUSM_OK);
    check(&t, "get", "/users/7?x=1", "GET /users/:id");
    check_param(&t, "/users/7?x=1", "id", "7");
    check_param(&t, "/users/7#x", "id", "7");
    check_param(&t, "//users///a%2Fb/", "id", "a%2Fb");
    check(&t, "GET", "/users", NULL);
    check(&t, "GET", "/users/", NULL);
    check(&t, "GET", "/users/7/8", NULL);
    check(&t, "GET", "/Users/7", NULL); /* literals have a case */
    check(&t, "GET", "", NULL);
    rusm__arena_fini(&t.arena);
}

static void literal_beats_parameter_beats_wildcard(void **state) {
    (void)state;
    struct table t;
    start(&t);
    add_route(&t, "GET /users/:id");
    add_route(&t, "GET /users/*");
    add_route(&t, "GET /users/new");
    add_route(&t, "GET /*");
    add_route(&t, "GET /:x/:y/edit");
    assert_int_equal(compile(&t), RUSM_OK);
    check(&t, "GET", "/users/new", "GET /users/new");
    check(&t, "GET", "/users/7", "GET /users/:id");
    check(&t, "GET", "/users/7/x", "GET /users/*");
    check(&t, "GET", "/users/7/edit", "GET /:x/:y/edit"); /* 4 against 2 */
    check(&t, "GET", "/other", "GET /*");
    check(&t, "GET", "/", NULL); /* a wildcard takes one segment or more */
    rusm__arena_fini(&t.arena);
}

static void tie_of_scores_goes_to_the_earlier_literal(void **state) {
    (void)state;
    for (int order = 0; order < 2; order++) {
        struct table t;
        start(&t);
        add_route(&t, order ? "GET /a/*" : "GET /:x/:y");
        add_route(&t, order ? "GET /:x/:y" : "GET /a/*");
        assert_int_equal(compile(&t), RUSM_OK);
        check(&t, "GET", "/a/b", "GET /a/*");
        check(&t, "GET", "/b/b", "GET /:x/:y");
        rusm__arena_fini(&t.arena);
    }
}

static void wildcard_is_joined_with_single_slashes(void **state) {
    (void)state;
    struct table t;
    start(&t);
    add_route(&t, "GET /static/*");
    assert_int_equal(compile(&t), RUSM_OK);
    check(&t, "GET", "/static", NULL);
    check(&t, "GET", "/static/", NULL);
    check_param(&t, "/static/a", "*", "a");
    check_param(&t, "/static/a/b", "*", "a/b");
    check_param(&t, "//static//a///b//?q=/x/", "*", "a/b");
    char deep[512] = "/static";
    for (int i = 0; i < 100; i++) {
        strcat(deep, "/x");
    }
    check(&t, "GET", deep, "GET /static/*"); /* more segments than any pattern may have */
    rusm__arena_fini(&t.arena);
}

static void root_is_the_path_without_segments(void **state) {
    (void)state;
    struct table t;
    start(&t);
    add_route(&t, "GET /");
    assert_int_equal(compile(&t), RUSM_OK);
    check(&t, "GET", "/", "GET /");
    check(&t, "GET", "///?a", "GET /");
    check(&t, "GET", "/a", NULL);
    rusm__arena_fini(&t.arena);
}

static void other_methods_are_named(void **state) {
    (void)state;
    struct table t;
    struct rusm__route_match match;
    char allow[32];
    start(&t);
    add_route(&t, "PUT /a/:x");
    add_route(&t, "GET /a/b");
    add_route(&t, "DELETE /c");
    assert_int_equal(compile(&t), RUSM_OK);
    assert_int_equal(rusm__routes_match(t.routes, "POST", 4, "/a/b", 4, &match),
                     RUSM__ROUTE_OTHER_METHOD);
    assert_null(match.route);
    assert_int_equal(rusm__routes_allow(t.routes, match.allowed, allow, sizeof(allow)), 8);
    assert_string_equal(allow, "GET, PUT");
    assert_int_equal(rusm__routes_allow(t.routes, match.allowed, allow, 6), 8);
    assert_string_equal(allow, "GET, "); /* cut, but terminated */
    /* HEAD is not GET. */
    assert_int_equal(rusm__routes_match(t.routes, "HEAD", 4, "/a/b", 4, &match),
                     RUSM__ROUTE_OTHER_METHOD);
    assert_int_equal(rusm__routes_match(t.routes, "DELETE", 6, "/a/x", 4, &match),
                     RUSM__ROUTE_OTHER_METHOD);
    check(&t, "POST", "/nothing", NULL);
    rusm__arena_fini(&t.arena);
}

static void same_shape_is_refused(void **state) {
    (void)state;
    struct table t;
    start(&t);
    add_route(&t, "GET /a/:x");
    add_route(&t, "POST /a/:y");
    assert_int_equal(compile(&t), RUSM_OK);
    add_route(&t, "GET /a/:y");
    assert_int_equal(compile(&t), RUSM_EEXIST);
    rusm__arena_fini(&t.arena);
}

static void longest_pattern_and_one_more(void **state) {
    (void)state;
    struct table t;
    char key[256] = "GET ";
    start(&t);
    for (int i = 0; i < RUSM__ROUTE_SEGMENTS_MAX; i++) {
        strcat(key, "/:p");
    }
    add_route(&t, key);
    assert_int_equal(compile(&t), RUSM_OK);
    char target[256] = "";
    for (int i = 0; i < RUSM__ROUTE_SEGMENTS_MAX; i++) {
        strcat(target, "/x");
    }
    check(&t, "GET", target, key);
    strcat(target, "/x");
    check(&t, "GET", target, NULL);
    t.list[0].segment_count = RUSM__ROUTE_SEGMENTS_MAX + 1;
    assert_int_equal(compile(&t), RUSM_ELIMIT);
    rusm__arena_fini(&t.arena);
}

static void no_routes_match_nothing(void **state) {
    (void)state;
    struct table t;
    start(&t);
    assert_int_equal(compile(&t), RUSM_OK);
    check(&t, "GET", "/", NULL);
    rusm__arena_fini(&t.arena);
}

/* ---- the oracle ---- */

static uint64_t random_state;

static uint32_t random_below(uint32_t n) { /* xorshift64* */
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)((random_state * UINT64_C(2685821657736338717)) >> 33) % n;
}

/* Few words, so that patterns and targets meet often; some share a beginning. */
static const char *const words[] = {"a", "b", "ab", "abc", "%41", "x.y"};
static const char *const methods[] = {"GET", "POST", "PUT"};
enum { WORDS = sizeof(words) / sizeof(words[0]), METHODS = sizeof(methods) / sizeof(methods[0]) };

static void random_key(char *key) {
    strcpy(key, methods[random_below(METHODS)]);
    strcat(key, " ");
    uint32_t segments = random_below(5);
    for (uint32_t i = 0; i < segments; i++) {
        uint32_t kind = random_below(8);
        strcat(key, "/");
        if (kind == 0) {
            strcat(key, "*");
            break;
        }
        strcat(key, kind < 4 ? (i == 0   ? ":p0"
                                : i == 1 ? ":p1"
                                : i == 2 ? ":p2"
                                         : ":p3")
                             : words[random_below(WORDS)]);
    }
    strcat(key, segments == 0 ? "/" : "");
}

static void random_target(char *target) {
    *target = '\0';
    uint32_t segments = random_below(7);
    for (uint32_t i = 0; i < segments; i++) {
        strcat(target, random_below(6) == 0 ? "//" : "/");
        strcat(target, words[random_below(WORDS)]);
    }
    strcat(target, random_below(4) == 0 || segments == 0 ? "/" : "");
    strcat(target, random_below(5) == 0 ? "?q=/a/b" : "");
}

/* One segment after the other, straight from the manual. Fills values by parameter. */
static bool naive_match(const struct rusm__route *route, const char *target, char values[8][64],
                        size_t *out_values) {
    char copy[256], *save = NULL;
    snprintf(copy, sizeof(copy), "%.*s", (int)strcspn(target, "?#"), target);
    char *part = strtok_r(copy, "/", &save);
    *out_values = 0;
    for (size_t i = 0; i < route->segment_count; i++) {
        const struct rusm__segment *s = &route->segments[i];
        if (part == NULL) {
            return false;
        }
        if (s->kind == RUSM__SEGMENT_WILDCARD) {
            char *joined = values[(*out_values)++];
            for (*joined = '\0'; part != NULL; part = strtok_r(NULL, "/", &save)) {
                strcat(joined, *joined != '\0' ? "/" : "");
                strcat(joined, part);
            }
            return true;
        }
        if (s->kind == RUSM__SEGMENT_PARAM) {
            strcpy(values[(*out_values)++], part);
        } else if (strlen(part) != s->len || memcmp(part, s->text, s->len) != 0) {
            return false;
        }
        part = strtok_r(NULL, "/", &save);
    }
    return part == NULL;
}

static unsigned naive_score(const struct rusm__route *route) {
    unsigned score = 0;
    for (size_t i = 0; i < route->segment_count; i++) {
        score += route->segments[i].kind == RUSM__SEGMENT_LITERAL ? 2u
                 : route->segments[i].kind == RUSM__SEGMENT_PARAM ? 1u
                                                                  : 0u;
    }
    return score;
}

static bool naive_prefers(const struct rusm__route *a, const struct rusm__route *b) {
    if (naive_score(a) != naive_score(b)) {
        return naive_score(a) > naive_score(b);
    }
    for (size_t i = 0; i < a->segment_count && i < b->segment_count; i++) {
        if (a->segments[i].kind != b->segments[i].kind) {
            return a->segments[i].kind == RUSM__SEGMENT_LITERAL ||
                   b->segments[i].kind == RUSM__SEGMENT_WILDCARD;
        }
    }
    return strcmp(a->key, b->key) < 0;
}

struct answer {
    const struct rusm__route *best;
    bool other_method;
};

static struct answer naive_answer(const struct table *t, const char *method, const char *target) {
    struct answer answer = {NULL, false};
    char values[8][64];
    size_t count;
    for (size_t i = 0; i < t->count; i++) {
        const struct rusm__route *route = &t->list[i];
        if (!naive_match(route, target, values, &count)) {
            continue;
        }
        if (strcmp(route->method, method) != 0) {
            answer.other_method = true;
        } else if (answer.best == NULL || naive_prefers(route, answer.best)) {
            answer.best = route;
        }
    }
    return answer;
}

static void compare_params(const struct rusm__route_match *match, const char *target) {
    char values[8][64], text[256];
    size_t count;
    assert_true(naive_match(match->route, target, values, &count));
    assert_int_equal(match->param_count, count);
    for (size_t i = 0; i < count; i++) {
        size_t len = rusm__route_param_text(&match->params[i], text);
        assert_int_equal(len, strlen(values[i]));
        assert_memory_equal(text, values[i], len);
    }
}

static void compare_methods(const struct table *t, const struct rusm__route_match *match,
                            const char *target) {
    char expected[64] = "", found[64];
    for (size_t i = 0; i < METHODS; i++) {
        if (naive_answer(t, methods[i], target).best != NULL) {
            strcat(expected, *expected != '\0' ? ", " : "");
            strcat(expected, methods[i]);
        }
    }
    rusm__routes_allow(t->routes, match->allowed, found, sizeof(found));
    assert_string_equal(found, expected);
}

static void compare(const struct table *t, const char *method, const char *target) {
    struct rusm__route_match match;
    struct answer naive = naive_answer(t, method, target);
    enum rusm__route_result result =
        rusm__routes_match(t->routes, method, strlen(method), target, strlen(target), &match);
    if (naive.best != NULL) {
        assert_int_equal(result, RUSM__ROUTE_FOUND);
        assert_string_equal(match.route->key, naive.best->key);
        compare_params(&match, target);
    } else if (naive.other_method) {
        assert_int_equal(result, RUSM__ROUTE_OTHER_METHOD);
        compare_methods(t, &match, target);
    } else {
        assert_int_equal(result, RUSM__ROUTE_NO_PATH);
    }
}

/* A random set without two routes of one shape. */
static void random_table(struct table *t) {
    static char keys[MOST_ROUTES][64];
    start(t);
    uint32_t wanted = random_below(MOST_ROUTES);
    for (uint32_t tries = 0; tries < wanted; tries++) {
        random_key(keys[t->count]);
        add_route(t, keys[t->count]);
        for (size_t i = 0; i + 1 < t->count; i++) {
            if (rusm__route_compare(&t->list[i], &t->list[t->count - 1]) == 0) {
                t->count--;
                break;
            }
        }
    }
}

static void matcher_agrees_with_trying_every_route(void **state) {
    (void)state;
    const char *given = getenv("RUSM_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    random_state = seed * 2 + 1;
    print_message("RUSM_TEST_SEED=%llu\n", (unsigned long long)seed);
    for (int round = 0; round < 400; round++) {
        struct table t;
        random_table(&t);
        assert_int_equal(compile(&t), RUSM_OK);
        for (int i = 0; i < 200; i++) {
            char target[128];
            random_target(target);
            compare(&t, methods[random_below(METHODS)], target);
        }
        rusm__arena_fini(&t.arena);
    }
}

/* Two routes of one shape are equal, two of different shapes never are, and the order is one. */
static void order_of_routes_is_total(void **state) {
    (void)state;
    struct table t;
    start(&t);
    static const char *const keys[] = {"GET /a/b/c", "GET /a/b/:x", "GET /a/:x/c", "GET /:x/b/c",
                                       "GET /a/b",   "GET /a/c",    "GET /a/b/*",  "GET /a/:x/:y",
                                       "GET /a/:x",  "GET /a/*",    "GET /:x/:y",  "GET /:x/*",
                                       "GET /:x",    "GET /*",      "GET /"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        add_route(&t, keys[i]);
    }
    for (size_t i = 0; i < t.count; i++) {
        for (size_t j = 0; j < t.count; j++) {
            int order = rusm__route_compare(&t.list[i], &t.list[j]);
            int back = rusm__route_compare(&t.list[j], &t.list[i]);
            assert_int_equal(order == 0, i == j);
            assert_int_equal(order < 0, back > 0);
        }
    }
    assert_int_equal(compile(&t), RUSM_OK);
    for (size_t i = 0; i < t.count; i++) {
        assert_int_equal(rusm__routes_at(t.routes, i)->index, i);
        for (size_t j = i + 1; j < t.count; j++) {
            assert_true(rusm__route_compare(rusm__routes_at(t.routes, i),
                                            rusm__routes_at(t.routes, j)) < 0);
        }
    }
    rusm__arena_fini(&t.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameter_takes_one_segment_and_the_query_is_cut),
        cmocka_unit_test(literal_beats_parameter_beats_wildcard),
        cmocka_unit_test(tie_of_scores_goes_to_the_earlier_literal),
        cmocka_unit_test(wildcard_is_joined_with_single_slashes),
        cmocka_unit_test(root_is_the_path_without_segments),
        cmocka_unit_test(other_methods_are_named),
        cmocka_unit_test(same_shape_is_refused),
        cmocka_unit_test(longest_pattern_and_one_more),
        cmocka_unit_test(no_routes_match_nothing),
        cmocka_unit_test(order_of_routes_is_total),
        cmocka_unit_test(matcher_agrees_with_trying_every_route),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

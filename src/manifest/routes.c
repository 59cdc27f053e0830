/* SPDX-License-Identifier: MIT */
/* Compiled routes: one trie of segments per method.
 *
 * Routes are sorted by preference, so a route's place in the array is its rank, and a match is the
 * lowest rank that a walk through the trie meets. Each node knows the lowest rank below it; what
 * cannot beat the best match so far is not entered. Literal edges of all nodes share one hash
 * table keyed by (node, hash of the segment); a target's segments are hashed once.
 *
 * The walk visits a literal and a parameter child per level, so never more nodes than patterns
 * that agree with the target so far; the target's own length does not matter beyond
 * RUSM__ROUTE_SEGMENTS_MAX segments. */
#include "manifest/routes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rusm/error.h"

#include "base/assert.h"

#define NO_ROUTE UINT32_MAX

struct node {
    const char *text; /* of the literal edge that leads here */
    uint32_t len;
    uint32_t parent; /* of that edge */
    uint32_t best;   /* lowest rank here and below */
    uint32_t exact;  /* rank of the route that ends here, or NO_ROUTE */
    uint32_t rest;   /* rank of the route with a wildcard here, or NO_ROUTE */
    uint32_t param;  /* child; 0 = none, as node 0 is the root of the first method */
};
static_assert(sizeof(struct node) == 32, "two nodes in a cache line");

struct method {
    const char *name;
    size_t len;
    uint32_t root;
};

struct rusm__routes {
    const struct rusm__route *routes;
    size_t count;
    struct method *methods;
    size_t method_count;
    struct node *nodes;
    uint32_t node_count;
    uint32_t *edges; /* open addressing: child node, 0 = empty */
    size_t edge_mask;
};

/* ---- order ---- */

static unsigned score(const struct rusm__route *route) {
    unsigned sum = 0;
    for (size_t i = 0; i < route->segment_count; i++) {
        sum += (unsigned)route->segments[i].kind; /* wildcard 0, parameter 1, literal 2 */
    }
    return sum;
}

static_assert(RUSM__SEGMENT_WILDCARD == 0 && RUSM__SEGMENT_PARAM == 1 && RUSM__SEGMENT_LITERAL == 2,
              "the kinds are the scores");

static int compare_kinds(const struct rusm__route *a, const struct rusm__route *b) {
    for (size_t i = 0; i < a->segment_count && i < b->segment_count; i++) {
        if (a->segments[i].kind != b->segments[i].kind) {
            return a->segments[i].kind > b->segments[i].kind ? -1 : 1;
        }
    }
    return a->segment_count == b->segment_count ? 0 : a->segment_count > b->segment_count ? -1 : 1;
}

static int compare_literals(const struct rusm__route *a, const struct rusm__route *b) {
    for (size_t i = 0; i < a->segment_count; i++) {
        const struct rusm__segment *x = &a->segments[i], *y = &b->segments[i];
        if (x->kind != RUSM__SEGMENT_LITERAL) {
            continue;
        }
        int order = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);
        if (order != 0 || x->len != y->len) {
            return order != 0 ? order : x->len < y->len ? -1 : 1;
        }
    }
    return 0;
}

int rusm__route_compare(const struct rusm__route *a, const struct rusm__route *b) {
    int order = strcmp(a->method, b->method);
    if (order == 0) {
        unsigned of_a = score(a), of_b = score(b);
        order = of_a == of_b ? compare_kinds(a, b) : of_a > of_b ? -1 : 1;
    }
    return order != 0 ? order : compare_literals(a, b);
}

static int compare_for_sort(const void *a, const void *b) {
    return rusm__route_compare(a, b);
}

/* ---- hashing ---- */

/* FNV-1a: segments are short and the table's keys come from the manifest, so nobody outside can
 * choose what collides. */
#define HASH_START UINT64_C(0xcbf29ce484222325)
static inline uint64_t hash_byte(uint64_t hash, unsigned char c) {
    return (hash ^ c) * UINT64_C(0x100000001b3);
}

static uint64_t hash_text(const char *text, size_t len) {
    uint64_t hash = HASH_START;
    for (size_t i = 0; i < len; i++) {
        hash = hash_byte(hash, (unsigned char)text[i]);
    }
    return hash;
}

static size_t edge_slot(const struct rusm__routes *table, uint32_t parent, uint64_t hash) {
    uint64_t mixed = (hash + parent) * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(mixed >> 32) & table->edge_mask;
}

/* ---- compiling ---- */

/* The slot of that edge: filled, or the empty one where it belongs. */
static uint32_t *find_edge(const struct rusm__routes *table, uint32_t parent, const char *text,
                           size_t len, uint64_t hash) {
    for (size_t slot = edge_slot(table, parent, hash);; slot = (slot + 1) & table->edge_mask) {
        uint32_t child = table->edges[slot];
        const struct node *node = &table->nodes[child];
        if (child == 0 ||
            (node->parent == parent && node->len == len && memcmp(node->text, text, len) == 0)) {
            return &table->edges[slot];
        }
    }
}

static uint32_t add_node(struct rusm__routes *table, uint32_t parent) {
    table->nodes[table->node_count] = (struct node){
        .text = "", .parent = parent, .best = NO_ROUTE, .exact = NO_ROUTE, .rest = NO_ROUTE};
    return table->node_count++;
}

static uint32_t literal_child(struct rusm__routes *table, uint32_t parent,
                              const struct rusm__segment *segment) {
    uint32_t *edge = find_edge(table, parent, segment->text, segment->len,
                               hash_text(segment->text, segment->len));
    if (*edge == 0) {
        *edge = add_node(table, parent);
        table->nodes[*edge].text = segment->text;
        table->nodes[*edge].len = (uint32_t)segment->len;
    }
    return *edge;
}

static uint32_t param_child(struct rusm__routes *table, uint32_t parent) {
    if (table->nodes[parent].param == 0) {
        table->nodes[parent].param = add_node(table, parent);
    }
    return table->nodes[parent].param;
}

static void lower(uint32_t *rank, uint32_t to) {
    *rank = to < *rank ? to : *rank;
}

static void add_route(struct rusm__routes *table, uint32_t root, uint32_t rank) {
    const struct rusm__route *route = &table->routes[rank];
    uint32_t at = root;
    for (size_t i = 0; i < route->segment_count; i++) {
        lower(&table->nodes[at].best, rank);
        const struct rusm__segment *segment = &route->segments[i];
        if (segment->kind == RUSM__SEGMENT_WILDCARD) {
            table->nodes[at].rest = rank;
            return;
        }
        at = segment->kind == RUSM__SEGMENT_PARAM ? param_child(table, at)
                                                  : literal_child(table, at, segment);
    }
    lower(&table->nodes[at].best, rank);
    table->nodes[at].exact = rank;
}

static int check(const struct rusm__route *routes, size_t count, size_t *out_methods,
                 size_t *out_segments) {
    *out_methods = *out_segments = 0;
    for (size_t i = 0; i < count; i++) {
        *out_methods += i == 0 || strcmp(routes[i - 1].method, routes[i].method) != 0;
        *out_segments += routes[i].segment_count;
        if (routes[i].segment_count > RUSM__ROUTE_SEGMENTS_MAX) {
            return RUSM_ELIMIT;
        }
        if (i > 0 && rusm__route_compare(&routes[i - 1], &routes[i]) == 0) {
            return RUSM_EEXIST;
        }
    }
    return *out_methods > RUSM__ROUTE_METHODS_MAX || count + *out_segments >= NO_ROUTE / 4
               ? RUSM_ELIMIT
               : RUSM_OK;
}

static struct rusm__routes *allocate(struct rusm__arena *arena, size_t methods, size_t segments) {
    size_t slots = 2;
    while (slots < segments * 2) { /* at most half full, so every probe ends at an empty slot */
        slots *= 2;
    }
    struct rusm__routes *table = rusm__arena_try_alloc(arena, sizeof(*table));
    if (table == NULL) {
        return NULL;
    }
    table->methods = rusm__arena_try_array(arena, methods, sizeof(*table->methods));
    table->nodes = rusm__arena_try_array(arena, methods + segments, sizeof(*table->nodes));
    table->edges = rusm__arena_try_array(arena, slots, sizeof(*table->edges));
    table->edge_mask = slots - 1;
    return table->methods == NULL || table->nodes == NULL || table->edges == NULL ? NULL : table;
}

static void fill(struct rusm__routes *table) {
    for (uint32_t rank = 0; rank < table->count; rank++) {
        const char *name = table->routes[rank].method;
        if (rank == 0 || strcmp(table->routes[rank - 1].method, name) != 0) {
            table->methods[table->method_count++] = (struct method){
                .name = name, .len = strlen(name), .root = add_node(table, NO_ROUTE)};
        }
        add_route(table, table->methods[table->method_count - 1].root, rank);
    }
}

int rusm__routes_compile(struct rusm__arena *arena, struct rusm__route *routes, size_t count,
                         struct rusm__routes **out_routes) {
    *out_routes = NULL;
    if (count > 1) {
        qsort(routes, count, sizeof(*routes), compare_for_sort);
    }
    size_t methods, segments;
    int code = check(routes, count, &methods, &segments);
    if (code != RUSM_OK) {
        return code;
    }
    struct rusm__routes *table = allocate(arena, methods, segments);
    if (table == NULL) {
        return RUSM_ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        routes[i].index = (uint32_t)i;
    }
    table->routes = routes;
    table->count = count;
    fill(table);
    *out_routes = table;
    return RUSM_OK;
}

size_t rusm__routes_count(const struct rusm__routes *routes) {
    return routes->count;
}

const struct rusm__route *rusm__routes_at(const struct rusm__routes *routes, size_t index) {
    RUSM_ASSERT(index < routes->count);
    return &routes->routes[index];
}

/* ---- matching ---- */

struct piece {
    const char *text;
    size_t len;
    uint64_t hash;
};

struct target {
    struct piece pieces[RUSM__ROUTE_SEGMENTS_MAX];
    size_t count;    /* of all segments, kept or not */
    const char *end; /* of the last segment */
};

static void split(struct target *out, const char *text, size_t len) {
    const char *end = text + len;
    out->count = 0;
    out->end = text;
    while (text < end && *text != '?' && *text != '#') {
        const char *start = text;
        uint64_t hash = HASH_START;
        for (; text < end && *text != '/' && *text != '?' && *text != '#'; text++) {
            hash = hash_byte(hash, (unsigned char)*text);
        }
        if (text == start) {
            text++; /* a slash: nothing lies before it */
            continue;
        }
        if (out->count < RUSM__ROUTE_SEGMENTS_MAX) {
            out->pieces[out->count] = (struct piece){start, (size_t)(text - start), hash};
        }
        out->count++;
        out->end = text;
    }
}

/* Lower *best to the lowest rank that matches pieces[depth...] from this node on. Recursion ends
 * at RUSM__ROUTE_SEGMENTS_MAX levels, since no pattern is longer. */
static void walk(const struct rusm__routes *table, const struct target *target, uint32_t at,
                 size_t depth, uint32_t *best) {
    const struct node *node = &table->nodes[at];
    if (node->best >= *best) {
        return;
    }
    if (depth == target->count) {
        lower(best, node->exact);
        return;
    }
    lower(best, node->rest);
    if (depth == RUSM__ROUTE_SEGMENTS_MAX) {
        return;
    }
    const struct piece *piece = &target->pieces[depth];
    uint32_t literal = *find_edge(table, at, piece->text, piece->len, piece->hash);
    if (literal != 0) {
        walk(table, target, literal, depth + 1, best);
    }
    if (node->param != 0) {
        walk(table, target, node->param, depth + 1, best);
    }
}

static uint32_t find_best(const struct rusm__routes *table, const struct target *target,
                          uint32_t root) {
    uint32_t best = NO_ROUTE;
    walk(table, target, root, 0, &best);
    return best;
}

static const struct method *find_method(const struct rusm__routes *table, const char *name,
                                        size_t len) {
    for (size_t i = 0; i < table->method_count; i++) {
        const struct method *method = &table->methods[i];
        if (method->len == len && strncasecmp(method->name, name, len) == 0) {
            return method;
        }
    }
    return NULL;
}

static bool has_empty_segment(const char *text, size_t len) {
    for (const char *slash = text; (slash = memchr(slash, '/', len - (size_t)(slash - text)));) {
        slash++;
        if (*slash == '/') { /* the value ends with a segment, so there is a byte to look at */
            return true;
        }
    }
    return false;
}

static void add_param(struct rusm__route_match *match, const struct rusm__segment *segment,
                      const char *raw, size_t len) {
    bool ragged = segment->kind == RUSM__SEGMENT_WILDCARD && has_empty_segment(raw, len);
    match->params[match->param_count++] = (struct rusm__route_param){
        .name = segment->text,
        .name_len = segment->len,
        .raw = raw,
        .raw_len = len,
        .ragged = ragged,
    };
}

static void take_params(struct rusm__route_match *match, const struct target *target) {
    const struct rusm__route *route = match->route;
    for (size_t i = 0; i < route->segment_count; i++) {
        const struct rusm__segment *segment = &route->segments[i];
        const struct piece *piece = &target->pieces[i];
        if (segment->kind == RUSM__SEGMENT_PARAM) {
            add_param(match, segment, piece->text, piece->len);
        } else if (segment->kind == RUSM__SEGMENT_WILDCARD) {
            add_param(match, segment, piece->text, (size_t)(target->end - piece->text));
        }
    }
}

static uint64_t find_other_methods(const struct rusm__routes *table, const struct target *target,
                                   const struct method *except) {
    uint64_t found = 0;
    for (size_t i = 0; i < table->method_count; i++) {
        const struct method *method = &table->methods[i];
        if (method != except && find_best(table, target, method->root) != NO_ROUTE) {
            found |= UINT64_C(1) << i;
        }
    }
    return found;
}

enum rusm__route_result rusm__routes_match(const struct rusm__routes *routes, const char *method,
                                           size_t method_len, const char *target, size_t target_len,
                                           struct rusm__route_match *out_match) {
    out_match->route = NULL;
    out_match->allowed = 0;
    out_match->param_count = 0;
    struct target parts;
    split(&parts, target, target_len);
    const struct method *own = find_method(routes, method, method_len);
    uint32_t best = own == NULL ? NO_ROUTE : find_best(routes, &parts, own->root);
    if (best != NO_ROUTE) {
        out_match->route = &routes->routes[best];
        take_params(out_match, &parts);
        return RUSM__ROUTE_FOUND;
    }
    out_match->allowed = find_other_methods(routes, &parts, own);
    return out_match->allowed == 0 ? RUSM__ROUTE_NO_PATH : RUSM__ROUTE_OTHER_METHOD;
}

/* ---- what callers write ---- */

size_t rusm__route_param_text(const struct rusm__route_param *param, char *out) {
    if (!param->ragged) {
        memcpy(out, param->raw, param->raw_len);
        return param->raw_len;
    }
    size_t len = 0;
    for (size_t i = 0; i < param->raw_len; i++) {
        if (param->raw[i] != '/' || (len != 0 && out[len - 1] != '/')) {
            out[len++] = param->raw[i];
        }
    }
    return len;
}

static void append(char *out, size_t size, size_t *len, const char *text) {
    for (; *text != '\0'; text++, (*len)++) {
        if (*len + 1 < size) {
            out[*len] = *text;
        }
    }
}

size_t rusm__routes_allow(const struct rusm__routes *routes, uint64_t allowed, char *out,
                          size_t size) {
    size_t len = 0;
    for (size_t i = 0; i < routes->method_count; i++) {
        if ((allowed >> i & 1) != 0) {
            append(out, size, &len, len == 0 ? "" : ", ");
            append(out, size, &len, routes->methods[i].name);
        }
    }
    if (size != 0) {
        out[len < size ? len : size - 1] = '\0';
    }
    return len;
}

/* SPDX-License-Identifier: MIT */
/* Routes: which one answers a request.
 *
 * A pattern is a list of segments: literal, parameter (one segment), wildcard (one or more
 * segments, last). Of the routes that match, the best one is chosen by a total order that does not
 * depend on the request: score (2 per literal, 1 per parameter), then literal before parameter
 * before wildcard from the left. Two routes that neither settles have the same shape; compiling
 * refuses them. See docs/manifest.md.
 *
 * Compiled routes are immutable and may be matched from any thread; a match allocates nothing. */
#ifndef RUSM__MANIFEST_ROUTES_H
#define RUSM__MANIFEST_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/export.h"

#include "base/arena.h"
#include "manifest/pos.h"

#define RUSM__ROUTE_SEGMENTS_MAX 32 /* of a pattern; requests may have more */
#define RUSM__ROUTE_METHODS_MAX  64 /* bits of rusm__route_match.allowed */

struct rusm__manifest_component;

enum rusm__segment_kind { RUSM__SEGMENT_WILDCARD, RUSM__SEGMENT_PARAM, RUSM__SEGMENT_LITERAL };

struct rusm__segment {
    enum rusm__segment_kind kind;
    const char *text; /* literal: as is; parameter: its name; wildcard: "*" */
    size_t len;
};

struct rusm__route {
    const char *key;    /* as written: "GET /items/:id" */
    const char *method; /* upper case */
    const struct rusm__segment *segments;
    size_t segment_count;
    const char *component;
    const char *action; /* NULL for ws and sse */
    const struct rusm__manifest_component *declared;
    struct rusm__pos at; /* of the key */
    uint32_t index;      /* its place in rusm__routes_at, set by compiling */
};

struct rusm__routes;

/* Less than, equal (the same method and shape), or greater than 0: the order in which compiled
 * routes stand and in which they are preferred. */
int rusm__route_compare(const struct rusm__route *a, const struct rusm__route *b);

/* Sorts `routes` in place, sets their index and keeps the array. RUSM_EEXIST: two have the same
 * shape. RUSM_ELIMIT: more than RUSM__ROUTE_METHODS_MAX methods or a pattern that is too long.
 * RUSM_ENOMEM. */
RUSM_MUST_USE int rusm__routes_compile(struct rusm__arena *arena, struct rusm__route *routes,
                                       size_t count, struct rusm__routes **out_routes);

size_t rusm__routes_count(const struct rusm__routes *routes);
const struct rusm__route *rusm__routes_at(const struct rusm__routes *routes, size_t index);

/* What a parameter took of the target. The bytes point into the target, as they came. A wildcard's
 * value leaves empty segments out, so a `ragged` one has to be squeezed:
 * rusm__route_param_text does the right thing for both. */
struct rusm__route_param {
    const char *name;
    size_t name_len;
    const char *raw;
    size_t raw_len;
    bool ragged;
};

/* Write the value to out, which has room for raw_len bytes. Returns its length, without a
 * terminator. */
size_t rusm__route_param_text(const struct rusm__route_param *param, char *out);

enum rusm__route_result {
    RUSM__ROUTE_FOUND,
    RUSM__ROUTE_NO_PATH,      /* 404 */
    RUSM__ROUTE_OTHER_METHOD, /* 405: `allowed` is set */
};

struct rusm__route_match {
    const struct rusm__route *route; /* FOUND, else NULL */
    uint64_t allowed;                /* OTHER_METHOD: for rusm__routes_allow */
    size_t param_count;
    struct rusm__route_param params[RUSM__ROUTE_SEGMENTS_MAX];
};

/* The target is an origin-form target: it is cut at the first `?` or `#`, empty segments are left
 * out, nothing is decoded. The method is taken in any case. */
enum rusm__route_result rusm__routes_match(const struct rusm__routes *routes, const char *method,
                                           size_t method_len, const char *target, size_t target_len,
                                           struct rusm__route_match *out_match);

/* "GET, POST" for an Allow header, cut to size - 1 bytes and terminated. Returns the full length:
 * at most RUSM__ROUTE_ALLOW_MAX for routes that came from a manifest. */
#define RUSM__ROUTE_ALLOW_MAX 512
size_t rusm__routes_allow(const struct rusm__routes *routes, uint64_t allowed, char *out,
                          size_t size);

#endif

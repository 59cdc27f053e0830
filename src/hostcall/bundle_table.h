/* SPDX-License-Identifier: MIT */
/* What spawn-from has compiled, and which source was seen to hold what.
 *
 *   origin   (template, source) -> digest of the bytes; believed for the time to live
 *   bundle   (template, digest) -> component; kept for the time to idle
 *
 * A template is part of both keys: its grants are part of what is prepared. Bundles that a guest
 * runs are never taken out, so their code counts for the bounds as long as it is mapped; of the
 * others, the one that was not used for the longest time goes first.
 *
 * All of it is guarded by the lock of struct rusm__bundles. Nothing here waits or compiles. */
#ifndef RUSM__HOSTCALL_BUNDLE_TABLE_H
#define RUSM__HOSTCALL_BUNDLE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/export.h"

#include "base/list.h"
#include "hostcall/digest_memo.h"
#include "hostcall/template.h"

enum {
    RUSM__BUNDLES_MAX = 256,
    RUSM__BUNDLE_BUCKETS = 256,
    RUSM__ORIGIN_SETS = 1024,
    RUSM__ORIGIN_WAYS = 4,
};
#define RUSM__BUNDLES_CODE_BYTES ((size_t)256 << 20)

struct rusm__bundle {
    struct rusm__bundle *chain; /* of its bucket, or of those that were taken out */
    struct rusm__list recent;   /* the one that was used last is at the end */
    const struct rusm__template *template;
    struct rusm__digest digest;
    struct rusm__component *component;
    uint64_t used_ns;
};

struct rusm__origin {
    const struct rusm__template *template; /* NULL: free */
    struct rusm__digest source;
    struct rusm__digest content;
    uint64_t expires_ns;
};

struct rusm__bundle_table {
    struct rusm__bundle *buckets[RUSM__BUNDLE_BUCKETS];
    struct rusm__list recent;
    size_t count;
    size_t code_bytes;
    struct rusm__origin
        *origins; /* NULL: not open. Sets of ways; a full one loses what expires first */
};

void rusm__bundle_table_init(struct rusm__bundle_table *table);
/* Before the first look-up: a node without templates does not need what this allocates.
 * RUSM_ENOMEM. Once open, it stays so until fini. */
RUSM_MUST_USE int rusm__bundle_table_open(struct rusm__bundle_table *table);
/* Nothing is held any more. */
void rusm__bundle_table_fini(struct rusm__bundle_table *table);

/* NULL: there is none. What is found counts as used. */
struct rusm__bundle *rusm__bundle_find(struct rusm__bundle_table *table,
                                       const struct rusm__template *template,
                                       const struct rusm__digest *digest, uint64_t now_ns);
/* Takes the bundle, which is not in the table yet. */
void rusm__bundle_insert(struct rusm__bundle_table *table, struct rusm__bundle *bundle,
                         uint64_t now_ns);
/* Take out what must go so that code_bytes more fit, for rusm__bundles_unload. False: all that is
 * left is in use. */
bool rusm__bundle_make_room(struct rusm__bundle_table *table, size_t code_bytes,
                            struct rusm__bundle **out_gone);
/* Take out what nobody has used for ttl_ns. *out_due_ns: when to look again, or
 * RUSM__NEVER. */
void rusm__bundle_expire(struct rusm__bundle_table *table, uint64_t now_ns, uint64_t ttl_ns,
                         struct rusm__bundle **out_gone, uint64_t *out_due_ns);
/* Free what was taken out. Unmaps code: without a lock, not on a scheduler. */
void rusm__bundles_unload(struct rusm__bundle *gone);

/* NULL: unknown, or too long ago. */
const struct rusm__digest *rusm__origin_find(const struct rusm__bundle_table *table,
                                             const struct rusm__template *template,
                                             const struct rusm__digest *source, uint64_t now_ns);
void rusm__origin_note(struct rusm__bundle_table *table, const struct rusm__template *template,
                       const struct rusm__digest *source, const struct rusm__digest *content,
                       uint64_t expires_ns);

#endif

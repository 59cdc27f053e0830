/* SPDX-License-Identifier: MIT */
#include "hostcall/bundle_table.h"

#include <string.h>

#include "rusm/error.h"

#include "base/clock.h"
#include "base/mem.h"

/* Digests are spread evenly. Who searches for colliding ones finds chains that RUSM__BUNDLES_MAX
 * bounds. */
static uint64_t word_of(const struct rusm__digest *digest) {
    uint64_t word;
    memcpy(&word, digest->bytes, sizeof(word));
    return word;
}

static bool is_equal(const struct rusm__digest *a, const struct rusm__digest *b) {
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

void rusm__bundle_table_init(struct rusm__bundle_table *table) {
    *table = (struct rusm__bundle_table){0};
    rusm__list_init(&table->recent);
}

int rusm__bundle_table_open(struct rusm__bundle_table *table) {
    if (table->origins)
        return RUSM_OK;
    table->origins =
        rusm__mem_try_zalloc(sizeof(*table->origins) * RUSM__ORIGIN_SETS * RUSM__ORIGIN_WAYS);
    return table->origins ? RUSM_OK : RUSM_ENOMEM;
}

/* ---- bundles ---- */

static struct rusm__bundle **bucket_of(struct rusm__bundle_table *table,
                                       const struct rusm__digest *digest) {
    return &table->buckets[word_of(digest) % RUSM__BUNDLE_BUCKETS];
}

static void use(struct rusm__bundle_table *table, struct rusm__bundle *bundle, uint64_t now_ns) {
    bundle->used_ns = now_ns;
    rusm__list_unlink(&bundle->recent);
    rusm__list_push_back(&table->recent, &bundle->recent);
}

struct rusm__bundle *rusm__bundle_find(struct rusm__bundle_table *table,
                                       const struct rusm__template *template,
                                       const struct rusm__digest *digest, uint64_t now_ns) {
    struct rusm__bundle *bundle = *bucket_of(table, digest);
    while (bundle && !(bundle->template == template && is_equal(&bundle->digest, digest)))
        bundle = bundle->chain;
    if (bundle)
        use(table, bundle, now_ns);
    return bundle;
}

void rusm__bundle_insert(struct rusm__bundle_table *table, struct rusm__bundle *bundle,
                         uint64_t now_ns) {
    struct rusm__bundle **bucket = bucket_of(table, &bundle->digest);
    bundle->chain = *bucket;
    *bucket = bundle;
    rusm__list_init(&bundle->recent);
    use(table, bundle, now_ns);
    table->count++;
    table->code_bytes += rusm__component_code_bytes(bundle->component);
}

static void take_out(struct rusm__bundle_table *table, struct rusm__bundle *bundle,
                     struct rusm__bundle **gone) {
    struct rusm__bundle **at = bucket_of(table, &bundle->digest);
    while (*at != bundle)
        at = &(*at)->chain;
    *at = bundle->chain;
    rusm__list_unlink(&bundle->recent);
    table->count--;
    table->code_bytes -= rusm__component_code_bytes(bundle->component);
    bundle->chain = *gone;
    *gone = bundle;
}

static struct rusm__bundle *oldest_unused(const struct rusm__bundle_table *table) {
    rusm__list_each(node, &table->recent) {
        struct rusm__bundle *bundle = rusm__list_entry(node, struct rusm__bundle, recent);
        if (!rusm__component_is_held(bundle->component))
            return bundle;
    }
    return NULL;
}

bool rusm__bundle_make_room(struct rusm__bundle_table *table, size_t code_bytes,
                            struct rusm__bundle **out_gone) {
    *out_gone = NULL;
    while (table->count >= RUSM__BUNDLES_MAX ||
           table->code_bytes + code_bytes > RUSM__BUNDLES_CODE_BYTES) {
        struct rusm__bundle *oldest = oldest_unused(table);
        if (!oldest)
            return false;
        take_out(table, oldest, out_gone);
    }
    return true;
}

/* One that runs is in use now, so its time begins anew. */
void rusm__bundle_expire(struct rusm__bundle_table *table, uint64_t now_ns, uint64_t ttl_ns,
                         struct rusm__bundle **out_gone, uint64_t *out_due_ns) {
    uint64_t in_use_again_ns = now_ns + (ttl_ns > RUSM__SECOND ? ttl_ns : RUSM__SECOND);
    *out_gone = NULL;
    *out_due_ns = RUSM__NEVER;
    struct rusm__list *next;
    for (struct rusm__list *node = table->recent.next; node != &table->recent; node = next) {
        struct rusm__bundle *bundle = rusm__list_entry(node, struct rusm__bundle, recent);
        next = node->next;
        uint64_t due_ns = bundle->used_ns + ttl_ns;
        if (rusm__component_is_held(bundle->component)) {
            bundle->used_ns = now_ns;
            due_ns = in_use_again_ns;
        } else if (due_ns <= now_ns) {
            take_out(table, bundle, out_gone);
            continue;
        }
        if (due_ns < *out_due_ns)
            *out_due_ns = due_ns;
    }
}

void rusm__bundles_unload(struct rusm__bundle *gone) {
    while (gone) {
        struct rusm__bundle *bundle = gone;
        gone = bundle->chain;
        rusm__component_free(bundle->component);
        rusm__mem_free(bundle);
    }
}

void rusm__bundle_table_fini(struct rusm__bundle_table *table) {
    struct rusm__bundle *gone = NULL;
    while (!rusm__list_is_empty(&table->recent))
        take_out(table, rusm__list_entry(table->recent.next, struct rusm__bundle, recent), &gone);
    rusm__bundles_unload(gone);
    rusm__mem_free(table->origins);
    table->origins = NULL;
}

/* ---- origins ---- */

static struct rusm__origin *set_of(const struct rusm__bundle_table *table,
                                   const struct rusm__digest *source) {
    return &table->origins[word_of(source) % RUSM__ORIGIN_SETS * RUSM__ORIGIN_WAYS];
}

static bool is_from(const struct rusm__origin *origin, const struct rusm__template *template,
                    const struct rusm__digest *source) {
    return origin->template == template && is_equal(&origin->source, source);
}

const struct rusm__digest *rusm__origin_find(const struct rusm__bundle_table *table,
                                             const struct rusm__template *template,
                                             const struct rusm__digest *source, uint64_t now_ns) {
    const struct rusm__origin *set = set_of(table, source);
    for (int i = 0; i < RUSM__ORIGIN_WAYS; i++) {
        if (is_from(&set[i], template, source))
            return set[i].expires_ns > now_ns ? &set[i].content : NULL;
    }
    return NULL;
}

void rusm__origin_note(struct rusm__bundle_table *table, const struct rusm__template *template,
                       const struct rusm__digest *source, const struct rusm__digest *content,
                       uint64_t expires_ns) {
    struct rusm__origin *set = set_of(table, source);
    struct rusm__origin *place = &set[0];
    for (int i = 0; i < RUSM__ORIGIN_WAYS; i++) {
        if (is_from(&set[i], template, source)) {
            place = &set[i];
            break;
        }
        if (set[i].expires_ns < place->expires_ns)
            place = &set[i];
    }
    *place = (struct rusm__origin){template, *source, *content, expires_ns};
}

/* SPDX-License-Identifier: MIT */
#include "proc/registry.h"

#include <string.h>

#include "rusm/error.h"

#include "base/mem.h"

enum { FIRST_BUCKETS = RUSM__SCALE(16, 1) };

static struct rusm__registry_shard *shard_of(struct rusm__registry *registry, uint64_t hash) {
    return &registry->shards[(hash >> 58) % RUSM__REGISTRY_SHARDS];
}

static struct rusm__word_table *table_new(uint32_t buckets, uint32_t link) {
    struct rusm__word_table *table =
        rusm__mem_try_zalloc(sizeof(*table) + buckets * sizeof(table->buckets[0]));
    if (table) {
        table->mask = buckets - 1;
        table->link = link;
    }
    return table;
}

int rusm__registry_init(struct rusm__registry *registry, struct rusm__qs *qs, bool exclusive) {
    registry->qs = qs;
    registry->exclusive = exclusive;
    registry->key = rusm__hash_key_random();
    for (unsigned i = 0; i < RUSM__REGISTRY_SHARDS; i++) {
        struct rusm__registry_shard *shard = &registry->shards[i];
        pthread_mutex_init(&shard->lock, NULL);
        atomic_init(&shard->table, table_new(FIRST_BUCKETS, 0));
        if (!atomic_load_explicit(&shard->table, memory_order_relaxed)) {
            for (unsigned j = 0; j < i; j++) {
                rusm__mem_free(atomic_load(&registry->shards[j].table));
            }
            return RUSM_ENOMEM;
        }
    }
    return RUSM_OK;
}

void rusm__registry_fini(struct rusm__registry *registry) {
    for (unsigned i = 0; i < RUSM__REGISTRY_SHARDS; i++) {
        rusm__mem_free(atomic_load(&registry->shards[i].table));
        pthread_mutex_destroy(&registry->shards[i].lock);
    }
}

static bool word_is(const struct rusm__word *word, uint64_t hash, const char *text, size_t len) {
    return word->hash == hash && word->len == len && memcmp(word->text, text, len) == 0;
}

/* Read section or lock. */
static struct rusm__word *find_word(struct rusm__registry_shard *shard, uint64_t hash,
                                    const char *text, size_t len) {
    /* acquire, here and below: pairs with the release that linked the object */
    struct rusm__word_table *table = atomic_load_explicit(&shard->table, memory_order_acquire);
    struct rusm__word *word =
        atomic_load_explicit(&table->buckets[hash & table->mask], memory_order_acquire);
    while (word && !word_is(word, hash, text, len)) {
        word = atomic_load_explicit(&word->next[table->link], memory_order_acquire);
    }
    return word;
}

static void table_add(struct rusm__word_table *table, struct rusm__word *word) {
    _Atomic(struct rusm__word *) *bucket = &table->buckets[word->hash & table->mask];
    atomic_store_explicit(&word->next[table->link],
                          atomic_load_explicit(bucket, memory_order_relaxed), memory_order_relaxed);
    atomic_store_explicit(bucket, word, memory_order_release); /* publishes the word */
}

static void reclaim_table(struct rusm__qs_node *node) {
    rusm__mem_free(node); /* qs is the first field of tables, words and members */
}

static void grow_locked(struct rusm__registry *registry, struct rusm__registry_shard *shard,
                        struct rusm__qs_member *qs) {
    struct rusm__word_table *old = atomic_load_explicit(&shard->table, memory_order_relaxed);
    uint64_t epoch = atomic_load_explicit(&registry->qs->epoch, memory_order_acquire);
    /* By then the last table has been reclaimed (see qs.h), so nobody walks its links. */
    if (shard->words <= old->mask || (shard->grown_epoch && epoch < shard->grown_epoch + 3)) {
        return;
    }
    struct rusm__word_table *table = table_new((old->mask + 1) * 2, old->link ^ 1);
    if (!table) {
        return; /* longer chains until the next try */
    }
    for (uint32_t i = 0; i <= old->mask; i++) {
        struct rusm__word *word = atomic_load_explicit(&old->buckets[i], memory_order_relaxed);
        for (; word; word = atomic_load_explicit(&word->next[old->link], memory_order_relaxed)) {
            table_add(table, word);
        }
    }
    atomic_store_explicit(&shard->table, table, memory_order_release);
    rusm__qs_retire(registry->qs, qs, &old->qs, reclaim_table);
    /* What the reclamation of the old table counts from, or a little later. relaxed: our own
     * member's; of a plain thread, one that is not older than what was retired. */
    shard->grown_epoch =
        atomic_load_explicit(qs ? &qs->seen : &registry->qs->epoch, memory_order_relaxed);
}

static struct rusm__word *add_word(struct rusm__registry *registry,
                                   struct rusm__registry_shard *shard, struct rusm__qs_member *qs,
                                   uint64_t hash, const char *text, size_t len) {
    struct rusm__word *word = rusm__mem_try_zalloc(sizeof(*word) + len + 1);
    if (word) {
        word->hash = hash;
        word->len = (uint32_t)len;
        memcpy(word->text, text, len);
        shard->words++;
        grow_locked(registry, shard, qs);
        table_add(atomic_load_explicit(&shard->table, memory_order_relaxed), word);
    }
    return word;
}

static void remove_word(struct rusm__registry *registry, struct rusm__registry_shard *shard,
                        struct rusm__qs_member *qs, struct rusm__word *word) {
    struct rusm__word_table *table = atomic_load_explicit(&shard->table, memory_order_relaxed);
    _Atomic(struct rusm__word *) *where = &table->buckets[word->hash & table->mask];
    struct rusm__word *at;
    while ((at = atomic_load_explicit(where, memory_order_relaxed)) != word) {
        where = &at->next[table->link];
    }
    atomic_store_explicit(where,
                          atomic_load_explicit(&word->next[table->link], memory_order_relaxed),
                          memory_order_release);
    shard->words--;
    rusm__qs_retire(registry->qs, qs, &word->qs, reclaim_table);
}

static void add_member(struct rusm__word *word, struct rusm__member *member) {
    struct rusm__member *first = atomic_load_explicit(&word->members, memory_order_relaxed);
    member->word = word;
    atomic_store_explicit(&member->next, first, memory_order_relaxed);
    if (first) {
        first->previous = member;
    }
    atomic_store_explicit(&word->members, member, memory_order_release); /* publishes the member */
}

static int join_locked(struct rusm__registry *registry, struct rusm__registry_shard *shard,
                       struct rusm__qs_member *qs, uint64_t hash, const char *text, size_t len,
                       struct rusm__member *member) {
    struct rusm__word *word = find_word(shard, hash, text, len);
    if (word && registry->exclusive) {
        return RUSM_EEXIST;
    }
    if (!word) {
        word = add_word(registry, shard, qs, hash, text, len);
    }
    if (!word) {
        return RUSM_ENOMEM;
    }
    add_member(word, member);
    return RUSM_OK;
}

static struct rusm__member *_Atomic *find_own(struct rusm__member *_Atomic *own, const char *text,
                                              size_t len) {
    for (;;) {
        struct rusm__member *member = atomic_load_explicit(own, memory_order_relaxed);
        if (!member) {
            return NULL;
        }
        if (member->word->len == len && memcmp(member->word->text, text, len) == 0) {
            return own;
        }
        own = &member->own_next;
    }
}

static void add_own(struct rusm__member *_Atomic *own, struct rusm__member *member) {
    atomic_store_explicit(&member->own_next, atomic_load_explicit(own, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(own, member, memory_order_release);
}

int rusm__registry_join(struct rusm__registry *registry, struct rusm__qs_member *qs,
                        const char *text, size_t len, rusm_pid pid,
                        struct rusm__member *_Atomic *own) {
    if (find_own(own, text, len)) {
        return RUSM_EEXIST;
    }
    struct rusm__member *member = rusm__mem_try_zalloc(sizeof(*member));
    if (!member) {
        return RUSM_ENOMEM;
    }
    member->pid = pid;
    uint64_t hash = rusm__hash_bytes(&registry->key, text, len);
    struct rusm__registry_shard *shard = shard_of(registry, hash);
    pthread_mutex_lock(&shard->lock);
    int status = join_locked(registry, shard, qs, hash, text, len, member);
    pthread_mutex_unlock(&shard->lock);
    if (status) {
        rusm__mem_free(member);
        return status;
    }
    add_own(own, member);
    return RUSM_OK;
}

/* With the lock. */
static int claim_locked(struct rusm__registry *registry, struct rusm__registry_shard *shard,
                        struct rusm__qs_member *qs, struct rusm__member *member, uint64_t hash,
                        const struct rusm__claim *claim) {
    struct rusm__word *word = find_word(shard, hash, claim->text, claim->len);
    if (word) {
        *claim->out_holder =
            atomic_load_explicit(&word->members, memory_order_relaxed)->pid; /* no word without */
        return RUSM_EEXIST;
    }
    word = add_word(registry, shard, qs, hash, claim->text, claim->len);
    if (!word) {
        return RUSM_ENOMEM;
    }
    member->word = word;
    add_own(claim->own, member);
    claim->publish(claim->arg);
    add_member(word, member);
    return RUSM_OK;
}

int rusm__registry_claim(struct rusm__registry *registry, struct rusm__qs_member *qs, rusm_pid pid,
                         const struct rusm__claim *claim) {
    struct rusm__member *member = rusm__mem_try_zalloc(sizeof(*member));
    if (!member) {
        return RUSM_ENOMEM;
    }
    member->pid = pid;
    uint64_t hash = rusm__hash_bytes(&registry->key, claim->text, claim->len);
    struct rusm__registry_shard *shard = shard_of(registry, hash);
    pthread_mutex_lock(&shard->lock);
    int status = claim_locked(registry, shard, qs, member, hash, claim);
    pthread_mutex_unlock(&shard->lock);
    if (status) {
        rusm__mem_free(member);
    }
    return status;
}

static void leave_word(struct rusm__registry *registry, struct rusm__qs_member *qs,
                       struct rusm__member *member) {
    struct rusm__word *word = member->word;
    struct rusm__registry_shard *shard = shard_of(registry, word->hash);
    pthread_mutex_lock(&shard->lock);
    struct rusm__member *next = atomic_load_explicit(&member->next, memory_order_relaxed);
    if (next) {
        next->previous = member->previous;
    }
    if (member->previous) {
        atomic_store_explicit(&member->previous->next, next, memory_order_release);
    } else {
        atomic_store_explicit(&word->members, next, memory_order_release);
    }
    if (!atomic_load_explicit(&word->members, memory_order_relaxed)) {
        remove_word(registry, shard, qs, word);
    }
    pthread_mutex_unlock(&shard->lock);
    rusm__qs_retire(registry->qs, qs, &member->qs, reclaim_table);
}

static void unlink_own(struct rusm__member *_Atomic *where) {
    struct rusm__member *member = atomic_load_explicit(where, memory_order_relaxed);
    atomic_store_explicit(where, atomic_load_explicit(&member->own_next, memory_order_relaxed),
                          memory_order_release);
}

int rusm__registry_leave(struct rusm__registry *registry, struct rusm__qs_member *qs,
                         const char *text, size_t len, struct rusm__member *_Atomic *own) {
    struct rusm__member *_Atomic *where = find_own(own, text, len);
    if (!where) {
        return RUSM_ENOTFOUND;
    }
    struct rusm__member *member = atomic_load_explicit(where, memory_order_relaxed);
    unlink_own(where);
    leave_word(registry, qs, member);
    return RUSM_OK;
}

void rusm__registry_leave_all(struct rusm__registry *registry, struct rusm__qs_member *qs,
                              struct rusm__member *_Atomic *own) {
    struct rusm__member *member;
    while ((member = atomic_load_explicit(own, memory_order_relaxed)) != NULL) {
        unlink_own(own);
        leave_word(registry, qs, member);
    }
}

void rusm__registry_each(struct rusm__registry *registry, const char *text, size_t len,
                         void (*visit)(rusm_pid pid, void *arg), void *arg) {
    uint64_t hash = rusm__hash_bytes(&registry->key, text, len);
    struct rusm__word *word = find_word(shard_of(registry, hash), hash, text, len);
    /* A holder that leaves meanwhile keeps its link to the next, so the walk reaches everybody who
     * stays. */
    struct rusm__member *member =
        word ? atomic_load_explicit(&word->members, memory_order_acquire) : NULL;
    for (; member; member = atomic_load_explicit(&member->next, memory_order_acquire)) {
        visit(member->pid, arg);
    }
}

struct found {
    rusm_pid *pids;
    size_t cap;
    size_t count;
};

static void note_holder(rusm_pid pid, void *arg) {
    struct found *found = arg;
    if (found->count < found->cap) {
        found->pids[found->count] = pid;
    }
    found->count++;
}

size_t rusm__registry_find(struct rusm__registry *registry, const char *text, size_t len,
                           rusm_pid *out_pids, size_t cap) {
    struct found found = {.pids = out_pids, .cap = cap};
    rusm__registry_each(registry, text, len, note_holder, &found);
    return found.count;
}

static size_t count_holders(const struct rusm__word *word) {
    size_t holders = 0;
    const struct rusm__member *at = atomic_load_explicit(&word->members, memory_order_acquire);
    for (; at; at = atomic_load_explicit(&at->next, memory_order_acquire)) {
        holders++;
    }
    return holders;
}

void rusm__registry_words(struct rusm__registry *registry, uint32_t shard,
                          void (*visit)(const char *text, size_t len, size_t holders, void *arg),
                          void *arg) {
    const struct rusm__word_table *table =
        atomic_load_explicit(&registry->shards[shard].table, memory_order_acquire);
    for (uint32_t i = 0; i <= table->mask; i++) {
        const struct rusm__word *word =
            atomic_load_explicit(&table->buckets[i], memory_order_acquire);
        for (; word; word = atomic_load_explicit(&word->next[table->link], memory_order_acquire)) {
            visit(word->text, word->len, count_holders(word), arg);
        }
    }
}

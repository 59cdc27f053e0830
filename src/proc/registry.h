/* SPDX-License-Identifier: MIT */
/* Words that processes hold: names (one holder) and tags (many).
 *
 *     shard ──► table ──► bucket ──► word ──► word           by hash of the text
 *                                     └──► member ──► member  the holders
 *     process ──► member ──► member                           what it holds
 *
 * Readers walk words and members without locks, inside a read section. Writers take the shard's
 * lock. A process joins and leaves only by itself, or is started with a name, so a member belongs
 * to one process' list. Each word has two bucket links, used by turns when a table grows: the old
 * table stays walkable while the new one is filled. The next growth waits until no reader can be in
 * the old one. */
#ifndef RUSM__PROC_REGISTRY_H
#define RUSM__PROC_REGISTRY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/runtime.h"

#include "base/hash.h"
#include "base/scale.h"
#include "sync/qs.h"

enum { RUSM__REGISTRY_SHARDS = RUSM__SCALE(64, 2), RUSM__WORD_MAX_BYTES = 255 };

struct rusm__word;

static inline bool rusm__is_word(const char *text, size_t len) {
    return text && len >= 1 && len <= RUSM__WORD_MAX_BYTES;
}

struct rusm__member {
    struct rusm__qs_node qs;
    struct rusm__word *word;
    rusm_pid pid;
    _Atomic(struct rusm__member *) next;     /* other holders of the word */
    struct rusm__member *previous;           /* guarded by the shard's lock */
    _Atomic(struct rusm__member *) own_next; /* other words of the process */
};

struct rusm__word {
    struct rusm__qs_node qs;
    _Atomic(struct rusm__word *) next[2];
    _Atomic(struct rusm__member *) members;
    uint64_t hash;
    uint32_t len;
    char text[]; /* terminated */
};

struct rusm__word_table {
    struct rusm__qs_node qs;
    uint32_t mask;
    uint32_t link; /* which of word->next this table uses */
    _Atomic(struct rusm__word *) buckets[];
};

struct rusm__registry_shard {
    _Alignas(64) pthread_mutex_t lock;
    _Atomic(struct rusm__word_table *) table;
    uint32_t words;
    uint64_t grown_epoch; /* that the grower had seen at the last growth; 0 = none */
};

struct rusm__registry {
    struct rusm__qs *qs;
    struct rusm__hash_key key;
    bool exclusive;
    struct rusm__registry_shard shards[RUSM__REGISTRY_SHARDS];
};

int rusm__registry_init(struct rusm__registry *registry, struct rusm__qs *qs, bool exclusive);
void rusm__registry_fini(struct rusm__registry *registry); /* nothing may be held any more */

/* pid joins, and the new member is put in front of its own list. RUSM_EEXIST: an exclusive word has
 * a holder, or pid holds it already. RUSM_ENOMEM. Scheduler threads only, inside pid's step. */
int rusm__registry_join(struct rusm__registry *registry, struct rusm__qs_member *qs,
                        const char *text, size_t len, rusm_pid pid,
                        struct rusm__member *_Atomic *own);
/* A new process, which nobody knows yet and which holds nothing, takes an exclusive word. Once
 * nothing can fail any more and before anybody can find the holder, `publish` is called: with the
 * shard's lock, so it takes none. */
struct rusm__claim {
    const char *text;
    size_t len;
    struct rusm__member *_Atomic *own;
    void (*publish)(void *arg);
    void *arg;
    rusm_pid *out_holder; /* who has the word already */
};
/* RUSM_EEXIST, RUSM_ENOMEM: nothing was published. Any thread; qs is NULL on a plain one. */
int rusm__registry_claim(struct rusm__registry *registry, struct rusm__qs_member *qs, rusm_pid pid,
                         const struct rusm__claim *claim);
/* RUSM_ENOTFOUND if pid does not hold it. */
int rusm__registry_leave(struct rusm__registry *registry, struct rusm__qs_member *qs,
                         const char *text, size_t len, struct rusm__member *_Atomic *own);
void rusm__registry_leave_all(struct rusm__registry *registry, struct rusm__qs_member *qs,
                              struct rusm__member *_Atomic *own);

/* Read section: up to cap holders; returns how many there are. */
size_t rusm__registry_find(struct rusm__registry *registry, const char *text, size_t len,
                           rusm_pid *out_pids, size_t cap);
/* Read section: call visit for every word of one shard, with how many hold it. */
void rusm__registry_words(struct rusm__registry *registry, uint32_t shard,
                          void (*visit)(const char *text, size_t len, size_t holders, void *arg),
                          void *arg);
/* Read section: call visit for every holder. */
void rusm__registry_each(struct rusm__registry *registry, const char *text, size_t len,
                         void (*visit)(rusm_pid pid, void *arg), void *arg);

#endif

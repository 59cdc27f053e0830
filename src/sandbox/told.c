/* SPDX-License-Identifier: MIT */
/* Targets are remembered by their hash, under a key of their own list: a guest that chooses targets
 * cannot choose two that are taken for one. */
#include "sandbox/told.h"

#include "base/hash.h"
#include "base/mem.h"

/* Of one cause. Places are filled from the front and never emptied. */
struct rusm__told_targets {
    struct rusm__told_targets *next; /* fixed once it is in the list, as cause and key */
    struct rusm__hash_key key;
    unsigned cause;
    _Atomic uint64_t hashes[RUSM__TOLD_TARGETS]; /* 0: free */
};

void rusm__told_fini(struct rusm__told *told) {
    /* Relaxed: whoever ends it is the last that has it. */
    struct rusm__told_targets *at = atomic_load_explicit(&told->targets, memory_order_relaxed);
    while (at) {
        struct rusm__told_targets *next = at->next;
        rusm__mem_free(at);
        at = next;
    }
}

static uint64_t bit_of(unsigned cause) {
    return 1ull << (cause % RUSM__TOLD_CAUSES);
}

/* Relaxed, as all of `causes`: nothing hangs on it but a log line. The load keeps a flood off the
 * shared line. */
static bool is_over(struct rusm__told *told, unsigned cause) {
    return atomic_load_explicit(&told->causes, memory_order_relaxed) & bit_of(cause);
}

bool rusm__told_first_time(struct rusm__told *told, unsigned cause) {
    return !is_over(told, cause) &&
           !(atomic_fetch_or_explicit(&told->causes, bit_of(cause), memory_order_relaxed) &
             bit_of(cause));
}

/* From `at` on. */
static struct rusm__told_targets *find(struct rusm__told_targets *at, unsigned cause) {
    while (at && at->cause != cause)
        at = at->next;
    return at;
}

/* Those of the cause, made if there are none yet; NULL: no memory. */
static struct rusm__told_targets *targets_of(struct rusm__told *told, unsigned cause) {
    /* Acquire: pairs with the exchange below, of another thread that made what is found. */
    struct rusm__told_targets *head = atomic_load_explicit(&told->targets, memory_order_acquire);
    struct rusm__told_targets *found = find(head, cause);
    if (found)
        return found;
    struct rusm__told_targets *fresh = rusm__mem_try_zalloc(sizeof(*fresh));
    if (!fresh)
        return NULL;
    fresh->key = rusm__hash_key_random();
    fresh->cause = cause;
    do {
        if ((found = find(head, cause))) {
            rusm__mem_free(fresh);
            return found;
        }
        fresh->next = head;
        /* Release: publishes fresh; acquire on failure: what another thread has put there. */
    } while (!atomic_compare_exchange_weak_explicit(&told->targets, &head, fresh,
                                                    memory_order_acq_rel, memory_order_acquire));
    return fresh;
}

/* Relaxed: a hash publishes nothing, and each place changes once. */
static enum rusm__telling remember(struct rusm__told_targets *targets, uint64_t hash) {
    for (unsigned i = 0; i < RUSM__TOLD_TARGETS; i++) {
        uint64_t seen = atomic_load_explicit(&targets->hashes[i], memory_order_relaxed);
        if (!seen &&
            atomic_compare_exchange_strong_explicit(&targets->hashes[i], &seen, hash,
                                                    memory_order_relaxed, memory_order_relaxed))
            return RUSM__TELL;
        if (seen == hash)
            return RUSM__TELL_NOT;
    }
    return RUSM__TELL_LAST;
}

enum rusm__telling rusm__told_target(struct rusm__told *told, unsigned cause, const void *target,
                                     size_t len) {
    if (is_over(told, cause))
        return RUSM__TELL_NOT;
    struct rusm__told_targets *targets = targets_of(told, cause);
    enum rusm__telling telling = RUSM__TELL_LAST;
    if (targets) {
        uint64_t hash = rusm__hash_bytes(&targets->key, target, len);
        telling = remember(targets, hash ? hash : 1);
    }
    if (telling == RUSM__TELL_LAST && !rusm__told_first_time(told, cause))
        return RUSM__TELL_NOT;
    return telling;
}

/* SPDX-License-Identifier: MIT */
/* See qs.h for the idea. Plain threads use records of a program-wide list that only grows: a
 * record is never freed, only passed on when its thread ends, so a domain can walk the list
 * without a lock. */
#include "sync/qs.h"

#include "rusm/error.h"

#include "base/assert.h"
#include "base/mem.h"

enum { MAX_NESTING = 8 };

/* ---- records of plain threads ---- */

struct outsider {
    struct outsider *next; /* set once before it is published */
    _Atomic(struct rusm__qs *) domain;
    _Atomic uint64_t seen; /* as rusm__qs_member.seen, for `domain` */
    _Atomic bool taken;
};

static _Atomic(struct outsider *) outsiders;
static pthread_key_t outsider_key;
static pthread_once_t outsider_once = PTHREAD_ONCE_INIT;
static _Thread_local struct outsider *own[MAX_NESTING];
static _Thread_local unsigned nesting;

static void give_back(void *unused) {
    (void)unused;
    for (unsigned i = 0; i < MAX_NESTING; i++) {
        if (own[i]) {
            /* release: the next owner sees our last writes; pairs with the CAS in take_outsider */
            atomic_store_explicit(&own[i]->taken, false, memory_order_release);
            own[i] = NULL;
        }
    }
}

static void make_key(void) {
    RUSM_CHECK(pthread_key_create(&outsider_key, give_back) == 0);
}

static struct outsider *take_outsider(void) {
    pthread_once(&outsider_once, make_key);
    pthread_setspecific(outsider_key, &outsider_key); /* any non-null value runs give_back */
    /* acquire: pairs with the release that published the record */
    struct outsider *record = atomic_load_explicit(&outsiders, memory_order_acquire);
    for (; record; record = record->next) {
        bool taken = false;
        if (atomic_compare_exchange_strong_explicit(&record->taken, &taken, true,
                                                    memory_order_acquire, memory_order_relaxed)) {
            return record;
        }
    }
    record = rusm__mem_zalloc(sizeof(*record));
    atomic_store_explicit(&record->taken, true, memory_order_relaxed);
    record->next = atomic_load_explicit(&outsiders, memory_order_relaxed);
    /* release: publishes next and the zeroed fields; pairs with the acquire loads of the list */
    while (!atomic_compare_exchange_weak_explicit(&outsiders, &record->next, record,
                                                  memory_order_release, memory_order_relaxed)) {
    }
    return record;
}

void rusm__qs_enter(struct rusm__qs *qs) {
    RUSM_CHECK(nesting < MAX_NESTING);
    if (!own[nesting]) {
        own[nesting] = take_outsider();
    }
    struct outsider *record = own[nesting++];
    uint64_t epoch = atomic_load_explicit(&qs->epoch, memory_order_acquire);
    /* release: who sees us in this domain sees that our visit to the last one is over; pairs with
     * the acquire in everybody_saw */
    atomic_store_explicit(&record->domain, qs, memory_order_release);
    /* seq_cst store and fence: the epoch cannot pass us once we read anything; pairs with the
     * fence in everybody_saw. An epoch that is old by now only holds the domain up until we leave:
     * plain threads do not retire by it (compare rusm__qs_online). */
    atomic_store_explicit(&record->seen, epoch, memory_order_seq_cst);
    atomic_thread_fence(memory_order_seq_cst);
}

void rusm__qs_exit(struct rusm__qs *qs) {
    (void)qs;
    RUSM_CHECK(nesting > 0);
    /* release: our reads are over; pairs with the acquire in everybody_saw */
    atomic_store_explicit(&own[--nesting]->seen, 0, memory_order_release);
}

/* ---- epochs ---- */

static bool everybody_saw(struct rusm__qs *qs, uint64_t epoch) {
    /* Orders our earlier loads of the epoch against the loads of `seen`: a reader that is missed
     * here entered later and thus sees everything that was unlinked before. */
    atomic_thread_fence(memory_order_seq_cst);
    for (size_t i = 0; i < qs->member_count; i++) {
        uint64_t seen = atomic_load_explicit(&qs->members[i].seen, memory_order_acquire);
        if (seen != 0 && seen != epoch) {
            return false;
        }
    }
    struct outsider *record = atomic_load_explicit(&outsiders, memory_order_acquire);
    for (; record; record = record->next) {
        uint64_t seen = atomic_load_explicit(&record->seen, memory_order_acquire);
        if (seen != 0 && seen != epoch &&
            atomic_load_explicit(&record->domain, memory_order_acquire) == qs) {
            return false;
        }
    }
    return true;
}

static void try_advance(struct rusm__qs *qs) {
    uint64_t epoch = atomic_load_explicit(&qs->epoch, memory_order_acquire);
    if (everybody_saw(qs, epoch)) {
        /* acq_rel: everything read before the others' quiescence happens before the frees */
        atomic_compare_exchange_strong_explicit(&qs->epoch, &epoch, epoch + 1, memory_order_acq_rel,
                                                memory_order_relaxed);
    }
}

/* Frees at most that many of the list; returns how many. */
static size_t reclaim_list(struct rusm__qs_node **list, size_t most) {
    size_t count = 0;
    for (; *list && count < most; count++) {
        struct rusm__qs_node *node = *list;
        *list = node->next;
        node->reclaim(node);
    }
    return count;
}

static void ripen(struct rusm__qs_bucket *bucket, struct rusm__qs_node **ripe) {
    if (bucket->first) {
        bucket->last->next = *ripe;
        *ripe = bucket->first;
        bucket->first = NULL;
    }
}

static void ripen_all(struct rusm__qs_bucket *buckets, uint64_t epoch,
                      struct rusm__qs_node **ripe) {
    for (unsigned i = 0; i < RUSM__QS_BUCKETS; i++) {
        if (epoch >= buckets[i].epoch + 2) {
            ripen(&buckets[i], ripe);
        }
    }
}

/* tag is one past the epoch that the retiring thread has seen. A bucket with another tag is at
 * least RUSM__QS_BUCKETS epochs older, hence ripe. */
static void put(struct rusm__qs_bucket *buckets, uint64_t tag, struct rusm__qs_node *node,
                struct rusm__qs_node **ripe) {
    struct rusm__qs_bucket *bucket = &buckets[tag % RUSM__QS_BUCKETS];
    if (bucket->epoch != tag) {
        ripen(bucket, ripe);
        bucket->epoch = tag;
    }
    if (!bucket->first) {
        bucket->last = node;
    }
    node->next = bucket->first;
    bucket->first = node;
}

static void reclaim_outside(struct rusm__qs *qs, uint64_t epoch) {
    if (atomic_load_explicit(&qs->outside_pending, memory_order_relaxed) == 0 ||
        pthread_mutex_trylock(&qs->lock) != 0) {
        return;
    }
    struct rusm__qs_node *ripe = NULL;
    ripen_all(qs->outside, epoch, &ripe);
    size_t freed = reclaim_list(&ripe, SIZE_MAX);
    atomic_fetch_sub_explicit(&qs->outside_pending, freed, memory_order_relaxed);
    pthread_mutex_unlock(&qs->lock);
}

/* ---- members ---- */

int rusm__qs_init(struct rusm__qs *qs, size_t member_count) {
    *qs = (struct rusm__qs){.member_count = member_count};
    /* Over-aligned: each member has cache lines of its own. */
    qs->members =
        rusm__mem_try_zalloc_aligned(member_count * sizeof(*qs->members), RUSM__CACHELINE);
    if (!qs->members) {
        return RUSM_ENOMEM;
    }
    atomic_store_explicit(&qs->epoch, 1, memory_order_relaxed);
    pthread_mutex_init(&qs->lock, NULL);
    return RUSM_OK;
}

static void reclaim_all(struct rusm__qs_bucket *buckets, struct rusm__qs_node *ripe) {
    for (unsigned i = 0; i < RUSM__QS_BUCKETS; i++) {
        ripen(&buckets[i], &ripe);
    }
    reclaim_list(&ripe, SIZE_MAX);
}

void rusm__qs_fini(struct rusm__qs *qs) {
    for (size_t i = 0; i < qs->member_count; i++) {
        reclaim_all(qs->members[i].buckets, qs->members[i].ripe);
    }
    reclaim_all(qs->outside, NULL);
    pthread_mutex_destroy(&qs->lock);
    rusm__mem_free(qs->members);
}

void rusm__qs_online(struct rusm__qs *qs, struct rusm__qs_member *member) {
    uint64_t epoch = atomic_load_explicit(&qs->epoch, memory_order_acquire);
    uint64_t announced;
    /* Until our announcement is visible the epoch may run on. A member tags what it retires with
     * the epoch that it has seen, so an announcement that is several epochs old would free memory
     * under readers: announce again until the epoch stood still. */
    do {
        announced = epoch;
        /* As in rusm__qs_enter: visible before we read anything. */
        atomic_store_explicit(&member->seen, announced, memory_order_seq_cst);
        atomic_thread_fence(memory_order_seq_cst);
        epoch = atomic_load_explicit(&qs->epoch, memory_order_acquire);
    } while (epoch != announced);
}

bool rusm__qs_is_online(const struct rusm__qs_member *member) {
    /* relaxed: asked by the member's own thread */
    return atomic_load_explicit(&member->seen, memory_order_relaxed) != 0;
}

void rusm__qs_offline(struct rusm__qs_member *member) {
    atomic_store_explicit(&member->seen, 0, memory_order_release);
}

static void try_to_move_on(struct rusm__qs *qs, struct rusm__qs_member *member, uint64_t epoch) {
    member->retired = 0;
    member->turns = 0;
    /* relaxed: a stale zero leaves it to a later turn */
    if (member->pending > 0 ||
        atomic_load_explicit(&qs->outside_pending, memory_order_relaxed) > 0) {
        try_advance(qs);
        reclaim_outside(qs, epoch);
    }
}

void rusm__qs_quiesce(struct rusm__qs *qs, struct rusm__qs_member *member) {
    uint64_t epoch = atomic_load_explicit(&qs->epoch, memory_order_acquire);
    if (epoch != atomic_load_explicit(&member->seen, memory_order_relaxed)) {
        /* release: the reads of earlier steps are over; pairs with the acquire in everybody_saw */
        atomic_store_explicit(&member->seen, epoch, memory_order_release);
        ripen_all(member->buckets, epoch, &member->ripe);
    }
    if (member->ripe) {
        member->pending -= reclaim_list(&member->ripe, RUSM__QS_FREE_AT_ONCE);
    }
    if (++member->turns >= RUSM__QS_TRY_TURNS || member->retired >= RUSM__QS_TRY_RETIRED) {
        try_to_move_on(qs, member, epoch);
    }
}

bool rusm__qs_drain(struct rusm__qs *qs, struct rusm__qs_member *member) {
    for (unsigned round = 0; round < 4 && member->pending > 0; round++) {
        try_advance(qs);
        uint64_t epoch = atomic_load_explicit(&qs->epoch, memory_order_acquire);
        ripen_all(member->buckets, epoch, &member->ripe);
        member->pending -= reclaim_list(&member->ripe, SIZE_MAX);
        reclaim_outside(qs, epoch);
    }
    return member->pending == 0;
}

void rusm__qs_retire(struct rusm__qs *qs, struct rusm__qs_member *member,
                     struct rusm__qs_node *node, void (*reclaim_node)(struct rusm__qs_node *)) {
    node->reclaim = reclaim_node;
    if (member) {
        uint64_t seen = atomic_load_explicit(&member->seen, memory_order_relaxed);
        RUSM_ASSERT(seen != 0);
        put(member->buckets, seen + 1, node, &member->ripe);
        member->pending++;
        member->retired++;
        return;
    }
    pthread_mutex_lock(&qs->lock);
    /* The caller unlinked before; the fence keeps the epoch from being read earlier. */
    atomic_thread_fence(memory_order_seq_cst);
    uint64_t epoch = atomic_load_explicit(&qs->epoch, memory_order_acquire);
    struct rusm__qs_node *ripe = NULL;
    put(qs->outside, epoch + 1, node, &ripe);
    atomic_fetch_add_explicit(&qs->outside_pending, 1, memory_order_relaxed);
    size_t freed = reclaim_list(&ripe, SIZE_MAX);
    atomic_fetch_sub_explicit(&qs->outside_pending, freed, memory_order_relaxed);
    pthread_mutex_unlock(&qs->lock);
}

/* SPDX-License-Identifier: MIT */
/* Quiescent-state reclamation: lock-free readers, memory freed when nobody can still look at it.
 *
 * Schedulers are members: they may read shared structures at any time inside a step and hold no
 * such pointer across rusm__qs_quiesce, which they call between steps. Other threads bracket each
 * read with rusm__qs_enter and rusm__qs_exit. What was unlinked is retired and freed once every
 * member has been quiescent since.
 *
 * The epoch only moves on when every online member has seen it. A member that retires has seen
 * epoch L; the domain is then at L or L + 1, so a reader may have joined at L + 1 at the latest.
 * The object is tagged L + 1 and freed at L + 3: by then every such reader was quiescent. The spare
 * epoch is what lets quiesce do without a fence.
 *
 * Moving the epoch on costs every member a few transfers of cache lines between cores, each as much
 * as several short steps. So it is tried only after many objects were retired or many turns passed,
 * and a member that retires nothing causes nothing. What has become free is freed a few at a time,
 * so that no turn pays for all that piled up behind another member's long step. */
#ifndef RUSM__SYNC_QS_H
#define RUSM__SYNC_QS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/scale.h"
#include "sync/cacheline.h"

struct rusm__qs_node {
    struct rusm__qs_node *next;
    void (*reclaim)(struct rusm__qs_node *node);
};

enum {
    RUSM__QS_BUCKETS = 4,
    RUSM__QS_TRY_RETIRED =
        RUSM__SCALE(512, 6), /* objects that a member retires between two tries to move on */
    RUSM__QS_TRY_TURNS = RUSM__SCALE(1024, 8), /* its turns between two tries, if anything waits */
    RUSM__QS_FREE_AT_ONCE = RUSM__SCALE(16, 2),
};

/* What waits for one epoch. */
struct rusm__qs_bucket {
    struct rusm__qs_node *first;
    struct rusm__qs_node *last; /* of a bucket that is not empty */
    uint64_t epoch;
};

struct rusm__qs_member {
    /* Written by its thread, read by whoever tries to move the epoch on. 0 = offline. */
    _Alignas(RUSM__CACHELINE) _Atomic uint64_t seen;
    /* Its thread only. */
    _Alignas(RUSM__CACHELINE) struct rusm__qs_bucket buckets[RUSM__QS_BUCKETS];
    struct rusm__qs_node *ripe; /* may be freed */
    size_t pending;             /* in the buckets or ripe */
    uint32_t retired;           /* since the last try */
    uint32_t turns;             /* likewise */
};

struct rusm__qs {
    /* Any thread; changes rarely. */
    _Alignas(RUSM__CACHELINE) _Atomic uint64_t epoch;
    /* Fixed at init. */
    _Alignas(RUSM__CACHELINE) struct rusm__qs_member *members;
    size_t member_count;
    /* What plain threads retired; guarded by lock. */
    pthread_mutex_t lock;
    struct rusm__qs_bucket outside[RUSM__QS_BUCKETS];
    _Atomic size_t outside_pending;
};

/* RUSM_ENOMEM. All members start offline. */
int rusm__qs_init(struct rusm__qs *qs, size_t member_count);
/* Frees everything that is still retired; no reader may be left. */
void rusm__qs_fini(struct rusm__qs *qs);

void rusm__qs_online(struct rusm__qs *qs, struct rusm__qs_member *member);
void rusm__qs_offline(struct rusm__qs_member *member);
bool rusm__qs_is_online(const struct rusm__qs_member *member); /* its own thread */

/* Between steps: this member holds no pointer. Frees what has become free now and then. */
void rusm__qs_quiesce(struct rusm__qs *qs, struct rusm__qs_member *member);

/* Before a long sleep, offline: free as much as the others allow. True when nothing is left. */
bool rusm__qs_drain(struct rusm__qs *qs, struct rusm__qs_member *member);

/* Free node once nobody can hold it. member: the calling thread's, or NULL for a plain thread. */
void rusm__qs_retire(struct rusm__qs *qs, struct rusm__qs_member *member,
                     struct rusm__qs_node *node, void (*reclaim)(struct rusm__qs_node *node));

/* A plain thread's read section; may nest up to eight deep. Allocates a small record on a thread's
 * first use; if that fails, aborts with a text (it is not sized by any guest). */
void rusm__qs_enter(struct rusm__qs *qs);
void rusm__qs_exit(struct rusm__qs *qs);

#endif

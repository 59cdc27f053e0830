/* SPDX-License-Identifier: MIT */
/* The engines: one pool of instance slots per size class, made when the first component of that
 * class is loaded.
 *
 *   small  any component under a profile whose ceiling is at most 16 MiB. Slots lie close together
 *          and are cleaned sixteen at a time with one system call; no call maps, unmaps, protects
 *          or discards in the steady state. The price: compiled code checks bounds.
 *   tiny   small components. Slots are given back to the kernel in batches of 64 and keep nothing.
 *   guest  everything else. Slots keep their first 2 MiB of memory and 64 KiB of stack, cleaned by
 *          memset; what lies beyond goes back in batches of 8.
 *
 * Between tiny and guest the size of the artefact decides: a program of up to 32 KiB has a data
 * section and a heap of a few pages, and giving those back is cheaper than keeping and cleaning
 * them; a program with a language runtime in it touches a hundred pages or more, and for those each
 * page fault costs more than the memset.
 *
 * Every slot of these two reserves 4 GiB of address space, so that compiled code needs no bounds
 * checks and a profile may have any ceiling up to 4 GiB; what a guest may really have is decided at
 * each growth. How many slots there can be is bounded by the kernel's mappings per process
 * (vm.max_map_count) and by the 47 bits of address space, which hold both pools together. */
#ifndef RUSM__SANDBOX_POOLS_H
#define RUSM__SANDBOX_POOLS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/export.h"
#include "rusm_engine.h"

#include "base/buf.h"

#define RUSM__TABLE_ELEMENTS 65536u

enum rusm__class { RUSM__CLASS_SMALL, RUSM__CLASS_TINY, RUSM__CLASS_GUEST, RUSM__CLASSES };

/* Profiles up to this ceiling use small slots. */
#define RUSM__SMALL_MAX_BYTES (16ull << 20)

/* What bounds the number of guests, so that a refusal can name it. */
enum rusm__bound { RUSM__BOUND_SETTING, RUSM__BOUND_MAPPINGS, RUSM__BOUND_ADDRESSES };

struct rusm__pools {
    rusm_engine_config config; /* what all classes share; texts are owned */
    uint32_t capacity;         /* guests alive at once, in each pool and in all together */
    enum rusm__bound bound;
    uint32_t engines_made; /* guarded by lock */
    pthread_mutex_t lock;  /* one engine is made at a time */
    /* Set once under the lock: release, so that the clock thread finds a whole engine (acquire in
     * rusm__pools_tick). */
    _Atomic(rusm_engine *) engines[RUSM__CLASSES];
};

/* wanted: guests alive at once, 0 = default. RUSM_ENOMEM. */
RUSM_MUST_USE int rusm__pools_init(struct rusm__pools *pools, const struct rusm__host_calls *host,
                                   void *runtime, const char *cache_dir, uint32_t wanted);
void rusm__pools_fini(struct rusm__pools *pools);

enum rusm__class rusm__pools_class(size_t artefact_bytes, uint64_t max_memory_bytes);

/* The engine of a class, made if need be: waits then. */
RUSM_MUST_USE int rusm__pools_engine(struct rusm__pools *pools, enum rusm__class class,
                                     rusm_engine **out_engine, struct rusm__buf *error);

/* One epoch tick for every engine there is. */
void rusm__pools_tick(struct rusm__pools *pools);

/* What to change so that more guests fit: "raise `max_instances`" or the like. */
void rusm__pools_remedy(const struct rusm__pools *pools, const char *setting,
                        struct rusm__buf *out);

#endif

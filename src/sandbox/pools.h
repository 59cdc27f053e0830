/* SPDX-License-Identifier: MIT */
/* The engines: one per size class, made when the first component of that class is loaded; one more
 * per class and scheduler, made when a component of that class is busy (copies.h), with the slots
 * and stacks of the first; and how many guests they hold.
 *
 *   small  any component under a profile whose ceiling is at most 16 MiB. Slots of memory lie close
 *          together. The price: compiled code checks bounds.
 *   large  everything else. A slot reserves 4 GiB of address space, so that compiled code needs no
 *          bounds checks and a profile may have any ceiling up to 4 GiB; what a guest may really
 *          have is decided at each growth.
 *
 * Slots and stacks are made sixteen and one at a time as guests need them, and kept: an engine that
 * nobody uses takes no room, and no start waits for a pool. No call maps, unmaps, protects or
 * discards in the steady state.
 *
 * How many guests can be alive is not a number of ours: the kernel's mappings per process
 * (vm.max_map_count), memory, and for large slots the 47 bits of address space decide. The smallest
 * is the capacity, and a refusal names it. */
#ifndef RUSM__SANDBOX_POOLS_H
#define RUSM__SANDBOX_POOLS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/export.h"
#include "rusm_engine.h"

#include "base/buf.h"
#include "sandbox/machine.h"

#define RUSM__TABLE_ELEMENTS 65536u

enum rusm__class { RUSM__CLASS_SMALL, RUSM__CLASS_LARGE, RUSM__CLASSES };

/* Profiles up to this ceiling use small slots. */
#define RUSM__SMALL_MAX_BYTES (16ull << 20)

/* What bounds the number of guests, so that a refusal can name it. */
enum rusm__bound {
    RUSM__BOUND_SETTING,
    RUSM__BOUND_MAPPINGS,
    RUSM__BOUND_MEMORY,
    RUSM__BOUND_ADDRESSES,
    RUSM__BOUND_TABLE /* what this program can count */
};

struct rusm__pools {
    rusm_engine_config config; /* what all classes share; texts are owned */
    uint32_t capacity;         /* guests alive at once, of all classes together */
    uint32_t large_capacity;   /* of these, in large slots */
    enum rusm__bound bound;
    struct rusm__machine machine;
    _Atomic uint64_t addresses_taken; /* relaxed: it counts room and publishes nothing */
    uint32_t engines_made;            /* guarded by lock */
    pthread_mutex_t lock;             /* one engine is made at a time */
    uint32_t engines_per_class;       /* the common one, then one per scheduler */
    /* RUSM__CLASSES rows. Set once under the lock: release, so that the clock thread finds a whole
     * engine (acquire in rusm__pools_tick). */
    _Atomic(rusm_engine *) *engines;
};

/* Of the engines of a class: the one that every scheduler uses, and the one that only i does. */
#define RUSM__ENGINE_COMMON     0u
#define RUSM__ENGINE_OF_LANE(i) (1u + (i))

/* wanted: guests alive at once, 0 = as many as the machine holds. lanes: schedulers. RUSM_ENOMEM.
 */
RUSM_MUST_USE int rusm__pools_init(struct rusm__pools *pools, const struct rusm__host_calls *host,
                                   void *runtime, const char *cache_dir,
                                   const struct rusm__machine *machine, uint32_t wanted,
                                   uint32_t lanes);
void rusm__pools_fini(struct rusm__pools *pools);

enum rusm__class rusm__pools_class(uint64_t max_memory_bytes);

/* An engine of a class, the common one or a scheduler's own, made if need be: waits then. The
 * common one comes first. */
RUSM_MUST_USE int rusm__pools_engine(struct rusm__pools *pools, enum rusm__class class,
                                     uint32_t number, rusm_engine **out_engine,
                                     struct rusm__buf *error);

/* No engine wakes a process any more; those that are under way are waited for. No engine may be
 * made meanwhile or afterwards. */
void rusm__pools_close_gates(struct rusm__pools *pools);

/* One epoch tick for every engine there is. */
void rusm__pools_tick(struct rusm__pools *pools);

/* Are there fewer addresses than guests of that class may want? Of small slots only under a limit
 * of addresses (ulimit -v); of large ones also where vm.max_map_count was raised. */
bool rusm__pools_are_scarce(const struct rusm__pools *pools, enum rusm__class class);

/* Then each guest takes its addresses here. An eighth is kept from guests' spawns. Any thread. */
bool rusm__pools_take_addresses(struct rusm__pools *pools, enum rusm__class class, bool by_guest);
void rusm__pools_give_addresses(struct rusm__pools *pools, enum rusm__class class);
/* A moment's truth, to explain a refusal. */
bool rusm__pools_lack_addresses(const struct rusm__pools *pools, enum rusm__class class,
                                bool by_guest);

/* What to change so that more guests fit: "raise `max_instances`" or the like. */
void rusm__pools_remedy(const struct rusm__pools *pools, const char *setting,
                        struct rusm__buf *out);
/* The same when addresses are what is used up. */
void rusm__pools_addresses_remedy(const struct rusm__pools *pools, struct rusm__buf *out);

#endif

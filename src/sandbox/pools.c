/* SPDX-License-Identifier: MIT */
/* Pools: their size, their settings, and engines made on first use. */
#include "sandbox/pools.h"

#include <stdio.h>
#include <string.h>

#include "rusm/error.h"

#include "base/log.h"
#include "base/mem.h"

#define KIB 1024ull
#define MIB (1024ull * KIB)
#define GIB (1024ull * MIB)

#define DEFAULT_CAPACITY 4000u
#define LARGEST_CAPACITY 1000000u
#define TINY_ARTEFACT    (32 * KIB)

/* A component brings its own modules and a shim or two: three core instances are usual, four those
 * of the Rust SDK. One memory is usual; a quarter more is room for compositions. */
#define CORE_INSTANCES_PER_GUEST 5u
#define MEMORIES_FOR(guests)     ((guests) + (guests) / 4 + 1)

/* Mappings of the kernel: a stack and its guard page in each pool from the start, and what live
 * guests split off their slots (those of the tiny class two, Rust guests four). Slots that were
 * used once stay split, so the classes add up. Measured: see the README. */
#define PREMAPPED_CLASSES  2u /* tiny and guest; small slots are mapped as they are needed */
#define MAPPINGS_PER_SLOT  2u
#define MAPPINGS_PER_SMALL 4u
#define MAPPINGS_PER_GUEST 4u
#define MAPPINGS_ELSEWHERE 4096u /* program, libraries, heap, threads, store */
#define MAPPINGS_DEFAULT   65530u

/* A slot is 4 GiB and a guard; 47 bits of address space, of which a part is left to others. */
#define SLOT_BYTES    (4 * GIB + 64 * MIB)
#define ADDRESS_BYTES (120ull * 1024 * GIB)

struct tuning {
    uint64_t max_memory_bytes;
    uint64_t memory_keep_resident;
    uint64_t stack_keep_resident;
    uint32_t decommit_batch;
};

static const struct tuning tunings[RUSM__CLASSES] = {
    [RUSM__CLASS_SMALL] = {RUSM__SMALL_MAX_BYTES, 2 * MIB, 0, 0},
    [RUSM__CLASS_TINY] = {4 * GIB, 0, 0, 64},
    [RUSM__CLASS_GUEST] = {4 * GIB, 2 * MIB, 64 * KIB, 8},
};

static uint64_t max_map_count(void) {
    unsigned long long count = MAPPINGS_DEFAULT;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
    if (!file)
        return count;
    if (fscanf(file, "%llu", &count) != 1)
        count = MAPPINGS_DEFAULT;
    fclose(file);
    return count;
}

static uint64_t fit_mappings(void) {
    uint64_t maps = max_map_count();
    uint64_t per_guest =
        PREMAPPED_CLASSES * MAPPINGS_PER_SLOT + MAPPINGS_PER_SMALL + MAPPINGS_PER_GUEST;
    return maps > 2 * MAPPINGS_ELSEWHERE ? (maps - MAPPINGS_ELSEWHERE) / per_guest
                                         : maps / 2 / per_guest;
}

static uint64_t fit_addresses(void) {
    return ADDRESS_BYTES / SLOT_BYTES / PREMAPPED_CLASSES * 4 / 5 - 1;
}

static void lower(struct rusm__pools *pools, uint64_t fits, enum rusm__bound bound) {
    if (pools->capacity <= fits)
        return;
    pools->capacity = fits ? (uint32_t)fits : 1;
    pools->bound = bound;
}

static void choose_capacity(struct rusm__pools *pools, uint32_t wanted) {
    pools->capacity = wanted ? wanted : DEFAULT_CAPACITY;
    pools->bound = RUSM__BOUND_SETTING;
    lower(pools, LARGEST_CAPACITY, RUSM__BOUND_ADDRESSES);
    lower(pools, fit_mappings(), RUSM__BOUND_MAPPINGS);
    lower(pools, fit_addresses(), RUSM__BOUND_ADDRESSES);
}

int rusm__pools_init(struct rusm__pools *pools, const struct rusm__host_calls *host, void *runtime,
                     const char *cache_dir, uint32_t wanted) {
    *pools = (struct rusm__pools){0};
    choose_capacity(pools, wanted);
    if (cache_dir && !(cache_dir = rusm__mem_try_strndup(cache_dir, strlen(cache_dir))))
        return RUSM_ENOMEM;
    pools->config = (rusm_engine_config){
        .size = sizeof(rusm_engine_config),
        .host = host,
        .runtime = runtime,
        .cache_dir = cache_dir,
        .cache_max_bytes = 512 * MIB,
        .max_instances = pools->capacity,
        .max_core_instances = pools->capacity * CORE_INSTANCES_PER_GUEST,
        .max_memories = MEMORIES_FOR(pools->capacity),
        .table_elements = RUSM__TABLE_ELEMENTS,
        .stack_bytes = 1 * MIB,
        .guest_stack_bytes = 512 * KIB,
        .blocking_threads = 8,
    };
    pthread_mutex_init(&pools->lock, NULL);
    return RUSM_OK;
}

void rusm__pools_fini(struct rusm__pools *pools) {
    for (int i = 0; i < RUSM__CLASSES; i++) {
        rusm_engine *engine = atomic_load_explicit(&pools->engines[i], memory_order_relaxed);
        if (engine)
            rusm_engine_free(engine);
    }
    pthread_mutex_destroy(&pools->lock);
    rusm__mem_free((void *)pools->config.cache_dir);
}

enum rusm__class rusm__pools_class(size_t artefact_bytes, uint64_t max_memory_bytes) {
    if (max_memory_bytes <= RUSM__SMALL_MAX_BYTES)
        return RUSM__CLASS_SMALL;
    return artefact_bytes <= TINY_ARTEFACT ? RUSM__CLASS_TINY : RUSM__CLASS_GUEST;
}

/* Everything works without the cache; starts only take longer. */
static void tell_cache_problem(const rusm_engine *engine) {
    const char *problem = rusm_engine_cache_problem(engine);
    if (problem)
        rusm__log(RUSM__LOG_WARN, "rusm", "cache", "%s", problem);
}

static int make_engine(struct rusm__pools *pools, enum rusm__class class, rusm_engine **out_engine,
                       struct rusm__buf *error) {
    rusm_engine_config config = pools->config;
    config.max_memory_bytes = tunings[class].max_memory_bytes;
    config.memory_keep_resident = tunings[class].memory_keep_resident;
    config.stack_keep_resident = tunings[class].stack_keep_resident;
    config.decommit_batch = tunings[class].decommit_batch;
    char *text = NULL;
    int code = rusm_engine_new(&config, out_engine, &text);
    if (code < 0) {
        rusm__buf_addf(error, "cannot make room for %u guests: %s", pools->capacity,
                       text ? text : rusm_error_text(code));
        rusm_engine_text_free(text);
    } else if (!pools->engines_made++) {
        tell_cache_problem(*out_engine);
    }
    return code;
}

int rusm__pools_engine(struct rusm__pools *pools, enum rusm__class class, rusm_engine **out_engine,
                       struct rusm__buf *error) {
    int code = RUSM_OK;
    pthread_mutex_lock(&pools->lock);
    /* Relaxed: written under this lock only. */
    rusm_engine *engine = atomic_load_explicit(&pools->engines[class], memory_order_relaxed);
    if (!engine) {
        code = make_engine(pools, class, &engine, error);
        if (code == RUSM_OK)
            atomic_store_explicit(&pools->engines[class], engine, memory_order_release);
    }
    pthread_mutex_unlock(&pools->lock);
    *out_engine = engine;
    return code;
}

void rusm__pools_tick(struct rusm__pools *pools) {
    for (int i = 0; i < RUSM__CLASSES; i++) {
        rusm_engine *engine = atomic_load_explicit(&pools->engines[i], memory_order_acquire);
        if (engine)
            rusm_engine_tick(engine);
    }
}

void rusm__pools_remedy(const struct rusm__pools *pools, const char *setting,
                        struct rusm__buf *out) {
    switch (pools->bound) {
    case RUSM__BOUND_SETTING:
        rusm__buf_addf(out, "raise %s, now %u", setting, pools->capacity);
        return;
    case RUSM__BOUND_MAPPINGS:
        rusm__buf_addf(out, "raise the sysctl vm.max_map_count, now %llu, which allows %u guests",
                       (unsigned long long)max_map_count(), pools->capacity);
        return;
    case RUSM__BOUND_ADDRESSES:
        rusm__buf_addf(out, "the address space holds %u guests and no setting raises that",
                       pools->capacity);
        return;
    }
}

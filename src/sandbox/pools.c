/* SPDX-License-Identifier: MIT */
/* Engines made on first use, and how many guests they hold. */
#include "sandbox/pools.h"

#include <string.h>

#include "rusm/error.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/number.h"

#define LARGEST_CAPACITY 1000000u

/* One memory is usual; as many again are room for compositions. The mappings bound them too. */
#define MEMORIES_FOR(guests) (2 * (guests))

static const uint64_t ceilings[RUSM__CLASSES] = {
    [RUSM__CLASS_SMALL] = RUSM__SMALL_MAX_BYTES,
    [RUSM__CLASS_LARGE] = 4 * RUSM__GIB,
};

static const uint64_t slot_bytes[RUSM__CLASSES] = {
    [RUSM__CLASS_SMALL] = RUSM__SMALL_SLOT_BYTES,
    [RUSM__CLASS_LARGE] = RUSM__LARGE_SLOT_BYTES,
};

static size_t engine_count(const struct rusm__pools *pools) {
    return (size_t)RUSM__CLASSES * pools->engines_per_class;
}

static _Atomic(rusm_engine *) *place_of(const struct rusm__pools *pools, enum rusm__class class,
                                        uint32_t number) {
    return &pools->engines[(size_t)class * pools->engines_per_class + number];
}

static void lower(struct rusm__pools *pools, uint32_t fits, enum rusm__bound bound) {
    if (pools->capacity <= fits)
        return;
    pools->capacity = fits;
    pools->bound = bound;
}

static void choose_capacity(struct rusm__pools *pools, uint32_t wanted) {
    struct rusm__room room = rusm__machine_room(&pools->machine);
    pools->capacity = wanted ? wanted : UINT32_MAX;
    pools->bound = RUSM__BOUND_SETTING;
    lower(pools, LARGEST_CAPACITY, RUSM__BOUND_TABLE);
    lower(pools, room.by_memory, RUSM__BOUND_MEMORY);
    lower(pools, room.by_mappings, RUSM__BOUND_MAPPINGS);
    lower(pools, room.by_small_addresses, RUSM__BOUND_ADDRESSES);
    pools->large_capacity =
        pools->capacity < room.by_addresses ? pools->capacity : room.by_addresses;
}

int rusm__pools_init(struct rusm__pools *pools, const struct rusm__host_calls *host, void *runtime,
                     const char *cache_dir, const struct rusm__machine *machine, uint32_t wanted,
                     uint32_t lanes) {
    *pools = (struct rusm__pools){.machine = *machine, .engines_per_class = 1 + lanes};
    choose_capacity(pools, wanted);
    pools->engines = rusm__mem_try_zalloc(engine_count(pools) * sizeof(*pools->engines));
    if (!pools->engines)
        return RUSM_ENOMEM;
    if (cache_dir && !(cache_dir = rusm__mem_try_strndup(cache_dir, strlen(cache_dir)))) {
        rusm__mem_free(pools->engines);
        return RUSM_ENOMEM;
    }
    pools->config = (rusm_engine_config){
        .size = sizeof(rusm_engine_config),
        .host = host,
        .runtime = runtime,
        .cache_dir = cache_dir,
        .cache_max_bytes = 512 * RUSM__MIB,
        .max_instances = pools->capacity,
        .max_memories = MEMORIES_FOR(pools->capacity),
        .max_mappings = rusm__machine_mappings(machine),
        .memory_keep_resident = 2 * RUSM__MIB,
        .table_elements = RUSM__TABLE_ELEMENTS,
        .stack_bytes = 1 * RUSM__MIB,
        .guest_stack_bytes = 512 * RUSM__KIB,
        .blocking_threads = 8,
    };
    pthread_mutex_init(&pools->lock, NULL);
    return RUSM_OK;
}

void rusm__pools_fini(struct rusm__pools *pools) {
    for (size_t i = 0; i < engine_count(pools); i++) {
        rusm_engine *engine = atomic_load_explicit(&pools->engines[i], memory_order_relaxed);
        if (engine)
            rusm_engine_free(engine);
    }
    rusm__mem_free(pools->engines);
    pthread_mutex_destroy(&pools->lock);
    rusm__mem_free((void *)pools->config.cache_dir);
}

enum rusm__class rusm__pools_class(uint64_t max_memory_bytes) {
    return max_memory_bytes <= RUSM__SMALL_MAX_BYTES ? RUSM__CLASS_SMALL : RUSM__CLASS_LARGE;
}

/* Everything works without the cache; starts only take longer. */
static void tell_cache_problem(const rusm_engine *engine) {
    const char *problem = rusm_engine_cache_problem(engine);
    if (problem)
        rusm__log(RUSM__LOG_WARN, "rusm", "cache", "%s", problem);
}

static int make_engine(struct rusm__pools *pools, enum rusm__class class, uint32_t number,
                       rusm_engine **out_engine, struct rusm__buf *error) {
    rusm_engine_config config = pools->config;
    config.max_memory_bytes = ceilings[class];
    if (number != RUSM__ENGINE_COMMON) {
        config.cache_dir = NULL; /* nothing is compiled there */
        config.pools_of =
            atomic_load_explicit(place_of(pools, class, RUSM__ENGINE_COMMON), memory_order_relaxed);
    }
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

int rusm__pools_engine(struct rusm__pools *pools, enum rusm__class class, uint32_t number,
                       rusm_engine **out_engine, struct rusm__buf *error) {
    _Atomic(rusm_engine *) *place = place_of(pools, class, number);
    int code = RUSM_OK;
    pthread_mutex_lock(&pools->lock);
    /* Relaxed: written under this lock only. */
    rusm_engine *engine = atomic_load_explicit(place, memory_order_relaxed);
    if (!engine) {
        code = make_engine(pools, class, number, &engine, error);
        if (code == RUSM_OK)
            atomic_store_explicit(place, engine, memory_order_release);
    }
    pthread_mutex_unlock(&pools->lock);
    *out_engine = engine;
    return code;
}

bool rusm__pools_are_scarce(const struct rusm__pools *pools, enum rusm__class class) {
    const struct rusm__machine *machine = &pools->machine;
    return machine->address_limit || pools->capacity > machine->address_bytes / slot_bytes[class];
}

/* An eighth of them, and room for one guest if there is room for two. */
static uint64_t kept_for_node(uint64_t most, uint64_t slot) {
    return most < 2 * slot || most / 8 > slot ? most / 8 : slot;
}

static bool fits(const struct rusm__pools *pools, uint64_t taken, enum rusm__class class,
                 bool by_guest) {
    uint64_t most = pools->machine.address_bytes;
    uint64_t slot = slot_bytes[class];
    return taken + slot <= most - (by_guest ? kept_for_node(most, slot) : 0);
}

bool rusm__pools_take_addresses(struct rusm__pools *pools, enum rusm__class class, bool by_guest) {
    uint64_t taken =
        atomic_fetch_add_explicit(&pools->addresses_taken, slot_bytes[class], memory_order_relaxed);
    if (fits(pools, taken, class, by_guest))
        return true;
    rusm__pools_give_addresses(pools, class);
    return false;
}

void rusm__pools_give_addresses(struct rusm__pools *pools, enum rusm__class class) {
    atomic_fetch_sub_explicit(&pools->addresses_taken, slot_bytes[class], memory_order_relaxed);
}

bool rusm__pools_lack_addresses(const struct rusm__pools *pools, enum rusm__class class,
                                bool by_guest) {
    uint64_t taken = atomic_load_explicit(&pools->addresses_taken, memory_order_relaxed);
    return !fits(pools, taken, class, by_guest);
}

/* Relaxed: no engine is made any more, and who made the last one was joined. */
void rusm__pools_close_gates(struct rusm__pools *pools) {
    for (size_t i = 0; i < engine_count(pools); i++) {
        rusm_engine *engine = atomic_load_explicit(&pools->engines[i], memory_order_relaxed);
        if (engine)
            rusm_engine_close_gate(engine);
    }
}

void rusm__pools_tick(struct rusm__pools *pools) {
    for (size_t i = 0; i < engine_count(pools); i++) {
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
                       (unsigned long long)pools->machine.max_map_count, pools->capacity);
        return;
    case RUSM__BOUND_MEMORY:
        rusm__buf_addf(out, "%llu MiB of memory hold %u guests; give the node more",
                       (unsigned long long)(pools->machine.memory_bytes / RUSM__MIB),
                       pools->capacity);
        return;
    case RUSM__BOUND_ADDRESSES:
        rusm__pools_addresses_remedy(pools, out);
        return;
    case RUSM__BOUND_TABLE:
        rusm__buf_addf(out, "a node runs %u guests at most", pools->capacity);
        return;
    }
}

void rusm__pools_addresses_remedy(const struct rusm__pools *pools, struct rusm__buf *out) {
    if (pools->machine.address_limit) {
        rusm__buf_addf(out,
                       "raise the limit of addresses (ulimit -v), now %llu, which allows %u guests "
                       "with `max-memory-mb` above %llu or %u others",
                       (unsigned long long)(pools->machine.address_limit / RUSM__KIB),
                       pools->large_capacity, RUSM__SMALL_MAX_BYTES / RUSM__MIB, pools->capacity);
        return;
    }
    rusm__buf_addf(out,
                   "the address space holds %u guests with `max-memory-mb` above %llu; a profile "
                   "with less has no such limit",
                   pools->large_capacity, RUSM__SMALL_MAX_BYTES / RUSM__MIB);
}

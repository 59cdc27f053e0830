/* SPDX-License-Identifier: MIT */
/* Who gets copies, and the thread that makes them. See copies.h for why. */
#include "sandbox/copies.h"

#include "rusm/error.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "sandbox/sandbox_impl.h"

/* Prime, so that components that take turns are all seen. */
#define STARTS_PER_SAMPLE 251u
/* So many samples within this time, some 4,000 starts a second: with fewer the lines do not travel
 * often enough to matter. */
#define BUSY_SAMPLES 16u
#define BUSY_TICKS   1000u

/* ---- making them: the thread ---- */

static void free_array(rusm_engine_prepared **array, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (array[i])
            rusm_engine_prepared_free(array[i]);
    }
    rusm__mem_free(array);
}

static bool is_stopping(struct rusm__copies *copies) {
    pthread_mutex_lock(&copies->lock);
    bool is_stopping = copies->is_stopping;
    pthread_mutex_unlock(&copies->lock);
    return is_stopping;
}

static int copy_one(struct rusm__component *component, uint32_t lane,
                    rusm_engine_prepared **out_copy, struct rusm__buf *error) {
    struct rusm__sandbox *sandbox = component->sandbox;
    rusm_engine *engine = NULL;
    int code = rusm__pools_engine(&sandbox->pools, component->class, RUSM__ENGINE_OF_LANE(lane),
                                  &engine, error);
    if (code < 0)
        return code;
    char *text = NULL;
    code = rusm_engine_prepared_copy(component->prepared, engine, out_copy, &text);
    if (code < 0)
        rusm__buf_add_str(error, text ? text : rusm_error_text(code));
    rusm_engine_text_free(text);
    return code;
}

/* NULL with an error, or without one: the end has come. */
static rusm_engine_prepared **copy_all(struct rusm__copies *copies,
                                       struct rusm__component *component, struct rusm__buf *error) {
    uint32_t lanes = copies->sandbox->lane_count;
    rusm_engine_prepared **array = rusm__mem_try_zalloc(lanes * sizeof(*array));
    if (!array) {
        rusm__buf_add_str(error, rusm_error_text(RUSM_ENOMEM));
        return NULL;
    }
    for (uint32_t i = 0; i < lanes; i++) {
        if (is_stopping(copies) || copy_one(component, i, &array[i], error) < 0) {
            free_array(array, lanes);
            return NULL;
        }
    }
    return array;
}

/* Room for the copies of one component, in bytes and in number. */
static bool take_room(struct rusm__copies *copies, struct rusm__component *component) {
    uint32_t lanes = copies->sandbox->lane_count;
    size_t bytes = component->code_bytes * lanes;
    pthread_mutex_lock(&copies->lock);
    bool fits = bytes <= RUSM__COPIES_CODE_BYTES - copies->code_bytes &&
                lanes <= RUSM__COPIES_MAX - copies->count;
    if (fits) {
        component->copied.code_bytes = bytes;
        copies->code_bytes += bytes;
        copies->count += lanes;
    }
    pthread_mutex_unlock(&copies->lock);
    return fits;
}

/* It may be busy again, and ask again. */
static void give_room(struct rusm__copies *copies, struct rusm__component *component) {
    pthread_mutex_lock(&copies->lock);
    copies->code_bytes -= component->copied.code_bytes;
    copies->count -= copies->sandbox->lane_count;
    component->copied.code_bytes = 0;
    pthread_mutex_unlock(&copies->lock);
}

/* Everything works without copies; with several schedulers it is only slower. Told once. */
static void tell_refusal(struct rusm__component *component, const char *why, size_t len) {
    if (component->copied.is_refusal_told)
        return;
    component->copied.is_refusal_told = true;
    rusm__log(RUSM__LOG_INFO, "rusm", "copies",
              "component `%s` is busy and is not copied for each scheduler: %.*s", component->name,
              (int)len, why);
}

static void make(struct rusm__copies *copies, struct rusm__component *component) {
    static const char full[] = "the copies of a node have no more room";
    if (!take_room(copies, component)) {
        tell_refusal(component, full, sizeof(full) - 1);
        return;
    }
    struct rusm__buf error;
    rusm__buf_init(&error);
    rusm_engine_prepared **array = copy_all(copies, component, &error);
    if (array) {
        atomic_store_explicit(&component->copied.of, array, memory_order_release);
    } else {
        give_room(copies, component);
        if (error.len)
            tell_refusal(component, (const char *)error.data, error.len);
    }
    rusm__buf_fini(&error);
}

/* With the lock. NULL: nobody waits. */
static struct rusm__component *pop_locked(struct rusm__copies *copies) {
    struct rusm__list *node = rusm__list_pop_front(&copies->waiting);
    return node ? rusm__list_entry(node, struct rusm__component, copied.node) : NULL;
}

/* With the lock. NULL: it is time to stop. */
static struct rusm__component *next_locked(struct rusm__copies *copies) {
    while (rusm__list_is_empty(&copies->waiting) && !copies->is_stopping)
        rusm__cond_wait_until(&copies->asked, &copies->lock, RUSM__NEVER);
    return copies->is_stopping ? NULL : pop_locked(copies);
}

/* With the lock. What was refused counts its samples anew. */
static void let_go_locked(struct rusm__component *component) {
    component->copied.is_asked = false;
    component->copied.samples = 0;
    rusm__component_let_go(component); /* the last look at it */
}

static void *run(void *arg) {
    struct rusm__copies *copies = arg;
    struct rusm__component *component;
    pthread_mutex_lock(&copies->lock);
    while ((component = next_locked(copies))) {
        pthread_mutex_unlock(&copies->lock);
        make(copies, component);
        pthread_mutex_lock(&copies->lock);
        let_go_locked(component);
    }
    pthread_mutex_unlock(&copies->lock);
    return NULL;
}

/* ---- asking for them: a scheduler ---- */

static bool has_thread(struct rusm__copies *copies) {
    if (!copies->is_started)
        copies->is_started =
            rusm__thread_start(&copies->thread, "rusm-copies", run, copies) == RUSM_OK;
    return copies->is_started;
}

/* The guest that is about to start holds the component, so it may be held once more. If the system
 * refuses a thread, the component stays as it is. */
static void ask_locked(struct rusm__copies *copies, struct rusm__component *component) {
    if (copies->is_stopping || !has_thread(copies))
        return;
    rusm__component_hold(component);
    component->copied.is_asked = true;
    rusm__list_push_back(&copies->waiting, &component->copied.node);
    pthread_cond_signal(&copies->asked);
}

static void sample_locked(struct rusm__copied *copied, uint32_t lane, uint64_t now) {
    if (!copied->samples || now - copied->since > BUSY_TICKS) {
        copied->since = now;
        copied->samples = 0;
        copied->lane = lane;
        copied->is_on_two_lanes = false;
    }
    copied->is_on_two_lanes = copied->is_on_two_lanes || copied->lane != lane;
    copied->samples += copied->samples < BUSY_SAMPLES;
}

static void sample(struct rusm__component *component, uint32_t lane) {
    struct rusm__copies *copies = &component->sandbox->copies;
    struct rusm__copied *copied = &component->copied;
    pthread_mutex_lock(&copies->lock);
    sample_locked(copied, lane, rusm__ticker_now(&component->sandbox->ticker));
    if (copied->is_on_two_lanes && copied->samples == BUSY_SAMPLES && !copied->is_asked)
        ask_locked(copies, component);
    pthread_mutex_unlock(&copies->lock);
}

rusm_engine_prepared *rusm__copies_choose(struct rusm__component *component,
                                          struct rusm__lane *lane) {
    uint32_t index = (uint32_t)(lane - component->sandbox->lanes);
    rusm_engine_prepared **of = atomic_load_explicit(&component->copied.of, memory_order_acquire);
    if (of)
        return of[index];
    if (++lane->starts % STARTS_PER_SAMPLE == 0)
        sample(component, index);
    return component->prepared;
}

/* ---- life ---- */

void rusm__copies_init(struct rusm__copies *copies, struct rusm__sandbox *sandbox) {
    copies->sandbox = sandbox;
    rusm__list_init(&copies->waiting);
    pthread_mutex_init(&copies->lock, NULL);
    rusm__cond_init_monotonic(&copies->asked);
}

void rusm__copies_stop(struct rusm__copies *copies) {
    pthread_mutex_lock(&copies->lock);
    copies->is_stopping = true;
    pthread_cond_signal(&copies->asked);
    pthread_mutex_unlock(&copies->lock);
    if (copies->is_started)
        pthread_join(copies->thread, NULL);
    copies->is_started = false;
    pthread_mutex_lock(&copies->lock);
    struct rusm__component *component;
    while ((component = pop_locked(copies)))
        let_go_locked(component);
    pthread_mutex_unlock(&copies->lock);
}

void rusm__copies_fini(struct rusm__copies *copies) {
    pthread_cond_destroy(&copies->asked);
    pthread_mutex_destroy(&copies->lock);
}

/* Relaxed: nobody uses it, so whoever published them is known to be done. */
void rusm__copies_free(struct rusm__component *component) {
    struct rusm__sandbox *sandbox = component->sandbox;
    rusm_engine_prepared **of = atomic_load_explicit(&component->copied.of, memory_order_relaxed);
    if (!of)
        return;
    free_array(of, sandbox->lane_count);
    give_room(&sandbox->copies, component);
}

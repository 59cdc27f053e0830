/* SPDX-License-Identifier: MIT */
/* Who gets copies, and the thread that makes them. See copies.h for why. */
#include "sandbox/copies.h"

#include "rusm/error.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "sandbox/sandbox_impl.h"

#define STARTS_PER_SAMPLE 256u
/* A lane is in a hurry if so many ticks at most lie between two samples: 16,000 starts a second.
 * With fewer the lines do not travel often enough to matter. */
#define HURRY_TICKS 16u
#define HEAT        16u

/* ---- making them: the thread ---- */

static void free_array(rusm_engine_prepared **array, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (array[i])
            rusm_engine_prepared_free(array[i]);
    }
    rusm__mem_free(array);
}

/* One after the other, so that what belongs to one lane lies together. */
static int copy_all(struct rusm__component *component, rusm_engine_prepared **array,
                    struct rusm__buf *error) {
    struct rusm__sandbox *sandbox = component->sandbox;
    for (uint32_t i = 0; i < sandbox->lane_count; i++) {
        rusm_engine *engine = NULL;
        int code = rusm__pools_engine(&sandbox->pools, component->class, RUSM__ENGINE_OF_LANE(i),
                                      &engine, error);
        if (code < 0)
            return code;
        char *text = NULL;
        code = rusm_engine_prepared_copy(component->prepared, engine, &array[i], &text);
        if (code < 0) {
            rusm__buf_add_str(error, text ? text : rusm_error_text(code));
            rusm_engine_text_free(text);
            return code;
        }
    }
    return RUSM_OK;
}

/* Everything works without copies; with two schedulers in a hurry it is only slower. */
static void tell_failure(const struct rusm__component *component, const struct rusm__buf *error) {
    rusm__log(RUSM__LOG_WARN, "rusm", "copies",
              "component `%s` is not copied for each scheduler: %.*s", component->name,
              (int)error->len, error->data ? (const char *)error->data : "out of memory");
}

static void make(struct rusm__copies *copies, struct rusm__component *component) {
    uint32_t lanes = copies->sandbox->lane_count;
    size_t bytes = component->code_bytes * lanes;
    if (bytes >
        RUSM__COPIES_CODE_BYTES - atomic_load_explicit(&copies->code_bytes, memory_order_relaxed))
        return;
    struct rusm__buf error;
    rusm__buf_init(&error);
    rusm_engine_prepared **array = rusm__mem_try_zalloc(lanes * sizeof(*array));
    int code = array ? copy_all(component, array, &error) : RUSM_ENOMEM;
    if (code == RUSM_OK) {
        component->copied.code_bytes = bytes;
        atomic_fetch_add_explicit(&copies->code_bytes, bytes, memory_order_relaxed);
        atomic_store_explicit(&component->copied.of, array, memory_order_release);
    } else {
        tell_failure(component, &error);
        if (array)
            free_array(array, lanes);
    }
    rusm__buf_fini(&error);
}

/* With the lock. NULL: it is time to stop. */
static struct rusm__component *next_waiting(struct rusm__copies *copies) {
    while (!copies->first && !copies->is_stopping)
        rusm__cond_wait_until(&copies->asked, &copies->lock, RUSM__NEVER);
    struct rusm__component *component = copies->first;
    if (copies->is_stopping)
        return NULL;
    copies->first = component->copied.next;
    return component;
}

static void *run(void *arg) {
    struct rusm__copies *copies = arg;
    struct rusm__component *component;
    pthread_mutex_lock(&copies->lock);
    while ((component = next_waiting(copies))) {
        pthread_mutex_unlock(&copies->lock);
        make(copies, component);
        rusm__component_let_go(component);
        pthread_mutex_lock(&copies->lock);
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
static void ask(struct rusm__copies *copies, struct rusm__component *component) {
    pthread_mutex_lock(&copies->lock);
    if (has_thread(copies)) {
        rusm__component_hold(component);
        component->copied.next = NULL;
        if (copies->first)
            copies->last->copied.next = component;
        else
            copies->first = component;
        copies->last = component;
        pthread_cond_signal(&copies->asked);
    }
    pthread_mutex_unlock(&copies->lock);
}

static void sample(struct rusm__component *component, struct rusm__lane *lane) {
    struct rusm__sandbox *sandbox = component->sandbox;
    uint64_t now = rusm__ticker_now(&sandbox->ticker);
    bool in_a_hurry = now - lane->sampled_at <= HURRY_TICKS;
    lane->sampled_at = now;
    if (in_a_hurry && sandbox->lane_count > 1 &&
        atomic_fetch_add_explicit(&component->copied.heat, 1, memory_order_relaxed) + 1 == HEAT)
        ask(&sandbox->copies, component);
}

rusm_engine_prepared *rusm__copies_choose(struct rusm__component *component,
                                          struct rusm__lane *lane) {
    struct rusm__sandbox *sandbox = component->sandbox;
    rusm_engine_prepared **of = atomic_load_explicit(&component->copied.of, memory_order_acquire);
    if (of)
        return rusm__permits_are_plenty(&sandbox->permits) ? of[lane - sandbox->lanes]
                                                           : component->prepared;
    if (++lane->starts % STARTS_PER_SAMPLE == 0)
        sample(component, lane);
    return component->prepared;
}

/* ---- life ---- */

void rusm__copies_init(struct rusm__copies *copies, struct rusm__sandbox *sandbox) {
    copies->sandbox = sandbox;
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
    for (struct rusm__component *component = copies->first; component;
         component = component->copied.next)
        rusm__component_let_go(component);
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
    atomic_fetch_sub_explicit(&sandbox->copies.code_bytes, component->copied.code_bytes,
                              memory_order_relaxed);
}

/* SPDX-License-Identifier: MIT */
/* Inside of the sandbox folder. */
#ifndef RUSM__SANDBOX_SANDBOX_IMPL_H
#define RUSM__SANDBOX_SANDBOX_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "rusm_engine.h"

#include "base/number.h"
#include "sandbox/children.h"
#include "sandbox/copies.h"
#include "sandbox/lane.h"
#include "sandbox/permits.h"
#include "sandbox/pools.h"
#include "sandbox/report.h"
#include "sandbox/sandbox.h"
#include "sandbox/ticker.h"
#include "sandbox/told.h"
#include "sandbox/unit.h"

struct rusm__sandbox {
    /* fixed at open */
    rusm_runtime *runtime;
    void *host_data;
    size_t calls_bytes;
    rusm__guest_end guest_end;
    rusm__guest_held guest_held;
    const struct rusm__bridge_interface *interfaces;
    size_t interface_count;
    void (*closing)(void *host_data);
    char *setting; /* the name of max_instances in texts */
    struct rusm__lane *lanes;
    uint32_t lane_count;
    struct rusm__pools pools;
    struct rusm__ticker ticker;
    struct rusm__permits permits;
    struct rusm__reports reports;
    struct rusm__copies copies;
    void (*changed)(void *arg);
    void *changed_arg;
    _Atomic bool is_watched; /* the next change is to be told */
    /* guarded by lock: components are added by any thread and freed at close */
    pthread_mutex_t lock;
    struct rusm__component *components;
};

/* What one handle of WASI may make the host hold, more or less: a buffer of a stream, or the
 * headers of a request, which the engine bounds by that (engine/src/client/outgoing.rs). */
#define RUSM__HANDLE_BYTES (32 * RUSM__KIB)

struct rusm__component {
    /* fixed once loaded */
    struct rusm__sandbox *sandbox;
    struct rusm__component *next; /* of the sandbox's list */
    enum rusm__component_kind kind;
    enum rusm__class class;
    bool is_scarce; /* its guests take addresses: see rusm__pools_are_scarce */
    bool is_module;
    const struct rusm__profile *profile;
    char *name;
    char *grants;           /* summary of the profile, for the spawn line */
    rusm_engine_wasi *wasi; /* these two while it loads only */
    rusm_engine_artifact *artifact;
    rusm_engine_prepared *prepared; /* NULL for kind HTTP */
    size_t code_bytes;
    size_t symbol_bytes; /* of places in the source, which all copies of the code share */
    struct rusm__copied copied;
    bool is_dynamic;
    struct rusm__told *told; /* own_told, or the template's */
    /* any thread */
    struct rusm__told own_told;
    struct rusm__allowance reports;
    _Atomic uint64_t untold;  /* crashes since its last report that got none */
    char pad[64];             /* each guest of a dynamic one writes to the next */
    _Atomic uint32_t holders; /* counted for dynamic ones only */
};

/* The body of a process, one block with the state of src/hostcall behind it and, if its time is
 * limited, its unit of work behind that. Touched by the scheduler that runs the process only. A
 * node has one for each guest, so what few of them need is not in here (engine/tests/footprint.rs
 * and `idle-wasm` watch the size of a guest that waits). */
struct rusm__body {
    struct rusm__guest guest;       /* first: the engine and src/hostcall know it by this address */
    rusm_engine_instance *instance; /* NULL before the first step and after the end */
    struct rusm__children *children; /* of this guest; NULL until it spawns */
    struct rusm__children *siblings; /* of its parent, this one among them; NULL: the node's */
    uint64_t slice;                  /* the clock's ticks when this step began */
    uint64_t denied_bytes;           /* of the last growth of memory that was refused; 0: none */
    uint64_t born_ns;                /* of the coarse clock, at its spawn */
    uint64_t table_bytes;
    uint64_t denied_table_bytes; /* of the last growth of a table that was refused; 0: none */
    struct rusm__unit *unit;     /* in this block; NULL: its time is not limited */
    uint32_t restarts;           /* rusm__component_spawn.restarts */
    uint8_t returned;            /* how it ended while a call of it was blocked; PENDING: not yet */
    uint8_t unwinds;             /* resumes since it was told to stop */
    bool announced;
    bool ended;
    bool has_lent_turn; /* this step is inside of another guest's (rusm__guest_lend_turn) */
    _Alignas(uint64_t) unsigned char calls[];
};

static inline struct rusm__body *rusm__body_of(struct rusm__guest *guest) {
    return (struct rusm__body *)(void *)guest;
}

/* The lane of the calling scheduler; NULL on other threads and other runtimes' schedulers. */
struct rusm__lane *rusm__sandbox_lane(struct rusm__sandbox *sandbox);

/* Each guest is a process with these (guest.c). */
extern const rusm_body_ops rusm__guest_ops;

/* The room that its spawn took. lane: as in rusm__permits_give. */
void rusm__guest_give_room(const struct rusm__component *component, struct rusm__lane *lane);

/* A guest came or went. Any thread. */
void rusm__sandbox_note_change(struct rusm__sandbox *sandbox);

/* Did this outcome come from outside? Then the killer's reason stands. */
bool rusm__crash_is_kill(const struct rusm__body *body, const rusm_proc *self, int outcome);
/* After a resume answered `outcome`, which ends the guest: tell the core why. */
void rusm__crash_settle(struct rusm__body *body, rusm_proc *self, int outcome);
/* It could not be stopped in order when its time was up. */
void rusm__crash_overtime(struct rusm__body *body, rusm_proc *self);
/* There is no memory for something that it cannot do without. */
void rusm__crash_no_memory(rusm_proc *self, const char *what);

#endif

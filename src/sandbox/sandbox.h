/* SPDX-License-Identifier: MIT */
/* The sandbox: guests as processes. This folder is the only one that includes the engine's header.
 *
 *   sandbox    one per node: pools of slots and stacks, engines, and the compiled-code cache
 *   profile    what a component may do and how much it may take; immutable once made
 *   component  an artefact under a profile with its imports resolved, ready to spawn
 *   guest      one running instance: what the host calls in src/hostcall see of it
 *
 * Threads: a sandbox and its components may be used from any thread; loading compiles and so never
 * happens on a scheduler. A guest belongs to the process whose body it is. */
#ifndef RUSM__SANDBOX_SANDBOX_H
#define RUSM__SANDBOX_SANDBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/export.h"
#include "rusm/process.h"

#include "base/buf.h"
#include "sandbox/host_calls.h"
#include "sandbox/machine.h"

struct rusm__sandbox;
struct rusm__component;

/* ---- profile ---- */

struct rusm__env {
    const char *name;
    const char *value;
};

struct rusm__preopen {
    const char *host_dir;
    const char *guest_dir;
    bool read_only;
};

struct rusm__profile {
    /* Both as the manifest writes them, quotes included: they are for texts. */
    const char *name;
    const char *limits_of; /* the component that sets some of the limits itself; NULL: none does */
    bool network, spawn, process_control, stdio, storage;
    const char *const *url_local_hosts; /* inside, and url: may lead there all the same */
    size_t url_local_host_count;
    const struct rusm__env *env;
    size_t env_count;
    const struct rusm__preopen *preopens;
    size_t preopen_count;
    uint64_t bridges;           /* bit i: the sandbox's interface i */
    const char *bridge_names;   /* "a,b", for the log; NULL: none */
    uint64_t max_memory_bytes;  /* inclusive ceiling of each linear memory; at most 4 GiB */
    uint64_t max_message_bytes; /* one message of send, send-after, stash */
    /* Per unit of work (sandbox/unit.h); 0: no limit. The second of each is for handlers of
     * requests, whose unit is their life. */
    uint64_t cpu_ms, request_cpu_ms;
    uint64_t deadline_ms, request_deadline_ms;
    uint64_t max_host_bytes;            /* of all else that the host holds for it; 0: no limit */
    uint32_t mailbox_messages;          /* 0: the runtime's default */
    uint64_t mailbox_bytes;             /* 0: the runtime's default */
    rusm_mailbox_policy mailbox_policy; /* 0: the runtime's default */
    uint32_t max_children;              /* alive at once, spawned by one process */
    uint32_t max_names;                 /* names and tags together */
    uint32_t max_timers;                /* armed at once */
    uint32_t max_streams;               /* ends of byte streams, of either kind */
};

/* The table of the manifest where a limit is to be changed, for "[%s.%s]": the component's own, if
 * it has limits of its own, else the profile's. */
#define RUSM__LIMITS_TABLE(profile)                                                                \
    (profile)->limits_of ? "components" : "capabilities",                                          \
        (profile)->limits_of ? (profile)->limits_of : (profile)->name

/* What handlers of requests get where their profile does not say. */
#define RUSM__REQUEST_CPU_MS      10000u
#define RUSM__REQUEST_DEADLINE_MS 30000u

/* What the log shows of a profile when a process starts: "net spawn storage proc stdio env=N dir=N"
 * of what is granted, or "sandboxed", then "mem=NM". */
void rusm__profile_summary(const struct rusm__profile *profile, struct rusm__buf *out);

/* ---- sandbox ---- */

/* Called by the body when the guest has ended and its instance is gone, before its memory goes. */
typedef void (*rusm__guest_end)(struct rusm__guest *guest);
/* What the host holds for the guest, in bytes; on the scheduler that runs it. */
typedef uint64_t (*rusm__guest_held)(struct rusm__guest *guest);

/* host, host_data, calls_bytes, guest_end and guest_held are src/hostcall's: rusm__hostcall_fill
 * sets them. */
struct rusm__sandbox_options {
    rusm_runtime *runtime;
    const struct rusm__host_calls *host; /* static */
    void *host_data;                     /* handed to host calls as guest->host_data */
    size_t calls_bytes;                  /* size of guest->calls */
    rusm__guest_end guest_end;           /* NULL: nothing to clean up */
    rusm__guest_held guest_held;         /* NULL: rusm__guest_own_bytes is all */
    void (*closing)(void *host_data);    /* before anything is freed at close; NULL: nobody asks */
    const char *cache_dir;               /* NULL: no cache */
    uint32_t max_instances;              /* guests alive at once; 0 = as the machine allows */
    const char *max_instances_setting;   /* how texts call that limit; NULL = "max_instances" */
    const struct rusm__machine *machine; /* NULL: this one, as it is */
    const struct rusm__bridge_interface *interfaces; /* static; at most 64 */
    size_t interface_count;
    /* A guest was spawned or has ended. Called once, and again after rusm__sandbox_watch; any
     * thread, must not wait. NULL: nobody asks. */
    void (*changed)(void *arg);
    void *changed_arg;
};

/* Starts the clock thread; pools are mapped when the first component needs them. On failure a text
 * is appended to error. RUSM_ENOMEM, RUSM_EIO. */
RUSM_MUST_USE int rusm__sandbox_open(const struct rusm__sandbox_options *options,
                                     struct rusm__sandbox **out_sandbox, struct rusm__buf *error);
/* Before the runtime is stopped, which frees it: from now on nothing that a guest waits for inside
 * WASI wakes it, and nothing is copied in the background. Waits for what is under way. */
void rusm__sandbox_calm(struct rusm__sandbox *sandbox);
/* After the runtime's processes have ended: every guest is gone. Frees the components too. */
void rusm__sandbox_close(struct rusm__sandbox *sandbox);
/* From now on the next change calls `changed`. Any thread. */
void rusm__sandbox_watch(struct rusm__sandbox *sandbox);
/* Guests alive, and how many can be. */
size_t rusm__sandbox_live(const struct rusm__sandbox *sandbox);
size_t rusm__sandbox_capacity(const struct rusm__sandbox *sandbox);

/* ---- component ---- */

enum rusm__component_kind {
    RUSM__COMPONENT_ACTOR,   /* exports the entry, () -> () */
    RUSM__COMPONENT_COMMAND, /* wasi:cli/run, or _start of a core module */
    RUSM__COMPONENT_HTTP,    /* wasi:http/incoming-handler only: cannot be spawned */
};

struct rusm__component_options {
    const char *name;
    const char *entry; /* it must be there; NULL: "run" if there is one, else classify by exports */
    const struct rusm__profile *profile; /* borrowed; outlives the component */
    const char *origin;                  /* for texts: the path that the bytes came from */
    const struct rusm__component_dynamic *dynamic; /* NULL: it lives as long as the sandbox */
};

struct rusm__told;

/* A component that comes and goes while the node runs. Texts about it begin in these ways instead
 * of with its name. */
struct rusm__component_dynamic {
    bool is_command;         /* wasi:cli/run, else the entry */
    const char *compiling;   /* the bytes are no Wasm that we take */
    const char *preparing;   /* the entry or an import is missing */
    const char *no_command;  /* it is no command but should be */
    struct rusm__told *told; /* what all that come from one template have told; borrowed */
};

/* Compile or load from the cache, classify by exports, resolve imports. Waits: not on a scheduler.
 * RUSM_EGUEST with a text that names the component, the cause and the remedy. */
RUSM_MUST_USE int rusm__component_load(struct rusm__sandbox *sandbox, const void *wasm, size_t len,
                                       const struct rusm__component_options *options,
                                       struct rusm__component **out_component,
                                       struct rusm__buf *error);
/* SHA-256, by which two sources that hold the same bytes are told. */
void rusm__component_digest(const void *wasm, size_t len, unsigned char out_digest[32]);

/* A dynamic component stays while it is held: by each guest that runs it, and by whoever is about
 * to start one. Holding one that is not held needs a lock of the caller's that also guards
 * unloading. Any thread. */
void rusm__component_hold(struct rusm__component *component);
void rusm__component_let_go(struct rusm__component *component);
bool rusm__component_is_held(const struct rusm__component *component);
/* Of a dynamic component that nobody holds; the others end with their sandbox. Unmaps code: not on
 * a scheduler. */
void rusm__component_free(struct rusm__component *component);
/* Its machine code in memory, and what is known of its source for back-traces. */
size_t rusm__component_code_bytes(const struct rusm__component *component);

const char *rusm__component_name(const struct rusm__component *component);
enum rusm__component_kind rusm__component_get_kind(const struct rusm__component *component);
const struct rusm__profile *rusm__component_profile(const struct rusm__component *component);
/* A core module, which calls its host through the raw ABI. */
bool rusm__component_is_module(const struct rusm__component *component);

/* The children of a guest, counted against its max_children also when it has ended. */
struct rusm__family {
    struct rusm__children *children;
    uint32_t most;
};

struct rusm__component_spawn {
    uint64_t *out_monitor; /* as in rusm_spawn_options, as the next three */
    rusm_pid monitor_by;
    uint64_t monitor_ref;
    uint32_t flags;
    bool is_request;   /* it handles one request: that is its one unit of work */
    uint32_t restarts; /* how often its supervisor has started it before; for crash reports */
    rusm_msg *first;   /* first mail; taken on success */
    const struct rusm__connection_info
        *connection;            /* one block from rusm__mem_*; taken on success */
    rusm_pid writer;            /* who writes to its connection's client; 0: it has none */
    struct rusm__guest *parent; /* counted against its max_children; NULL = the node */
    struct rusm__family family; /* instead of the parent, on any thread */
};

/* Start a process that runs the component. RUSM_EPROCS, RUSM_ELIMIT (guests alive or children at
 * their limit), RUSM_ENOMEM, RUSM_ENOTSUP (kind HTTP): nothing was taken. With a parent: on the
 * scheduler that runs it. Never waits. */
RUSM_MUST_USE int rusm__component_spawn(struct rusm__component *component,
                                        const struct rusm__component_spawn *options,
                                        rusm_pid *out_pid);
/* What a failed spawn means and what to change, for people: one line without a full stop. */
void rusm__component_explain(const struct rusm__component *component, int code,
                             const struct rusm__guest *parent, struct rusm__buf *out);

/* True once per component and cause (0..63): what is worth one log line is not worth a flood. */
bool rusm__component_first_time(struct rusm__component *component, unsigned cause);

/* For causes that have targets (see told.h): each target once, the first 16 of them. After those
 * one more is told, as the last. */
enum rusm__telling { RUSM__TELL_NOT, RUSM__TELL, RUSM__TELL_LAST };
enum rusm__telling rusm__component_tell(struct rusm__component *component, unsigned cause,
                                        const void *target, size_t len);

/* ---- fetching ---- */

struct rusm__fetch;

/* Once, on another thread, maybe before the start has returned: 0 and the bytes, or a code and a
 * text. Both are valid during the call, which must not wait. */
typedef void (*rusm__fetched)(void *arg, int code, const unsigned char *bytes, size_t len,
                              const char *text);

struct rusm__fetch_options {
    const char *url;
    size_t max_bytes;
    uint32_t max_redirects;
    uint32_t timeout_ms;
    bool allow_local; /* this machine and its links, at the place that the URL names */
    rusm__fetched done;
    void *arg;
};

/* Get what a URL holds. On failure done is not called and a text is appended to error. */
RUSM_MUST_USE int rusm__fetch_start(const struct rusm__fetch_options *options,
                                    struct rusm__fetch **out_fetch, struct rusm__buf *error);
/* Calls it off if it is under way; done comes all the same. NULL is allowed. */
void rusm__fetch_free(struct rusm__fetch *fetch);

/* ---- guest: for src/hostcall ---- */

struct rusm__guest {
    struct rusm__component *component;
    const struct rusm__profile *profile;
    rusm_proc *proc; /* valid while the guest runs, NULL otherwise */
    rusm_pid pid;
    void *host_data;
    const struct rusm__connection_info *connection;
    rusm_pid writer; /* of its connection, which it may always monitor; 0: it has none */
    void *calls;     /* options->calls_bytes of state for src/hostcall, zeroed, 8-aligned */
    /* Work that a host call leaves for the scheduler's own stack (store look-ups, large outputs):
     * set before PENDING is answered; the body runs it after the instance is suspended and resumes
     * at once when it answers true, or waits when it answers false. */
    bool (*off_stack)(struct rusm__guest *guest);
    /* A call of it is not over although it returned: the body asks this outside of the guest's
     * stack (maybe on that of one who lent its turn, so with little of it) before it lets the guest
     * go on or end, and whenever the process is woken, until it answers false. NULL: nothing holds
     * it up. */
    bool (*blocked)(struct rusm__guest *guest);
    const char *trap_text; /* why the last TRAP; static or owned by `calls` */
    bool has_units;        /* its units of work have a limit, and begin and end with messages */
};

/* The policy behind two entries of the vtable. Called on the guest's stack. */
enum rusm__tick rusm__guest_tick(struct rusm__guest *guest);
bool rusm__guest_may_grow(struct rusm__guest *guest, uint32_t kind, size_t current, size_t desired);

/* ---- the ledger ---- */

/* What the sandbox itself holds: the guest's blocks, its stack and its tables. */
uint64_t rusm__guest_own_bytes(const struct rusm__guest *guest);

struct rusm__ledger {
    uint64_t memory_bytes;     /* of all its linear memories; after its end, what it had then */
    uint64_t max_memory_bytes; /* of each */
    uint64_t host_bytes;       /* everything else that is held because of its own acts */
    uint64_t max_host_bytes;   /* 0: no limit */
};

/* On the scheduler that runs it, until guest_end was called. */
void rusm__guest_get_ledger(struct rusm__guest *guest, struct rusm__ledger *out_ledger);

/* ---- units of work ---- */

void rusm__unit_rest(struct rusm__guest *guest);
void rusm__unit_receive(struct rusm__guest *guest, bool mail);

/* It waits for its next message. */
static inline void rusm__guest_rests(struct rusm__guest *guest) {
    if (guest->has_units)
        rusm__unit_rest(guest);
}

/* That call is over: with a message, or because its time was up. */
static inline void rusm__guest_received(struct rusm__guest *guest, bool mail) {
    if (guest->has_units)
        rusm__unit_receive(guest, mail);
}

/* The guest is about to wait for a message: the guest that it has just woken, if there is one, has
 * its turn right here, on top of this call. True: look into the mailbox once more. A process that
 * asks another one and waits for the answer then leaves its own stack no more than that one does.
 * There is one sandbox in a runtime: what it lends to is its own. */
bool rusm__guest_lend_turn(struct rusm__guest *guest);

/* The poll that answers PENDING wants to be called again at this time at the latest; UINT64_MAX
 * takes it back. Use this and not rusm_proc_wake_at, whose one timer the guest's deadline shares.
 * RUSM_ENOMEM. */
RUSM_MUST_USE int rusm__guest_poll_at(struct rusm__guest *guest, uint64_t deadline_ns);

/* Its family, held until let go; false: no memory. */
RUSM_MUST_USE bool rusm__guest_family(struct rusm__guest *guest, struct rusm__family *out_family);
void rusm__family_let_go(const struct rusm__family *family);

/* Processes that it spawned and that are alive. */
uint32_t rusm__guest_children(const struct rusm__guest *guest);

#endif

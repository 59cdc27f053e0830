/* SPDX-License-Identifier: MIT */
/* The engine's border: Wasmtime and WASI behind plain C. Rust decides nothing here; limits,
 * capabilities and every host call come from C (src/sandbox, the only includer).
 *
 * Errors: calls that can fail return 0 or a negative code of rusm/error.h and, where out_error is
 * given, an owned text (rusm_engine_text_free). A Rust panic never crosses the border: it becomes
 * RUSM_ESTATE, or a TRAPPED outcome for an instance.
 *
 * Threads: engines, artefacts and prepared components may be used from any thread. An instance
 * may move between threads but is used by one at a time. */
#ifndef RUSM_ENGINE_H
#define RUSM_ENGINE_H

#include <stddef.h>
#include <stdint.h>

struct rusm__host_calls;
struct rusm__guest;
struct rusm__bridge_interface;
typedef struct rusm_engine rusm_engine;
typedef struct rusm_engine_artifact rusm_engine_artifact;
typedef struct rusm_engine_prepared rusm_engine_prepared;
typedef struct rusm_engine_wasi rusm_engine_wasi;
typedef struct rusm_engine_instance rusm_engine_instance;

typedef struct rusm_engine_config {
    size_t size;                         /* sizeof(rusm_engine_config) */
    const struct rusm__host_calls *host; /* static */
    void *runtime;                       /* handed to host->wake */
    const char *cache_dir;               /* compiled code; NULL = no cache */
    uint64_t cache_max_bytes;            /* oldest entries are removed above this */
    uint32_t max_instances;              /* guests alive at once: fiber stacks */
    uint32_t max_memories; /* linear memories alive at once: each takes address space */
    uint64_t max_mappings; /* of the kernel, that slots and stacks of all engines of this process
                            * may take together; 0 = no bound */
    uint64_t max_memory_bytes;     /* ceiling of one linear memory in this pool; up to 4 GiB */
    uint32_t table_elements;       /* ceiling of one table */
    uint64_t memory_keep_resident; /* bytes of a slot that stay mapped, zeroed by memset */
    uint32_t stack_bytes;          /* fiber stack: guest and host part */
    uint32_t guest_stack_bytes;    /* the guest's part of it */
    uint32_t blocking_threads;     /* bound of the WASI reactor's blocking pool */
    const struct rusm__bridge_interface *interfaces; /* read during rusm_engine_new */
    size_t interface_count;
    const rusm_engine *pools_of; /* use the slots and stacks of this engine, which has slots and
                                  * stacks of the same sizes; its bounds hold for both together.
                                  * NULL: own ones. Either may be freed first */
} rusm_engine_config;

/* Make an engine. Its slots and stacks are made when guests need them. Waits for the file system.
 * RUSM_ECONFIG with a text for numbers that cannot be. */
int rusm_engine_new(const rusm_engine_config *config, rusm_engine **out_engine, char **out_error);
/* Waits until no host->wake of this engine is under way; none comes after it. Guests that wait
 * inside WASI can only be ended from then on. To be called before `runtime` goes. Any thread. */
void rusm_engine_close_gate(rusm_engine *engine);
/* All instances must have been dropped before. Closes the gate. */
void rusm_engine_free(rusm_engine *engine);
void rusm_engine_text_free(char *text);
/* Why compiled code is not kept although cache_dir was given, or NULL. Lives as long as the
 * engine. To be logged once: without the cache everything works, starts only take longer. */
const char *rusm_engine_cache_problem(const rusm_engine *engine);
/* Can the kernel tell which pages of a slot were touched (PAGEMAP_SCAN, Linux 6.7)? 1 or 0. Without
 * it ended guests' pages go back to the kernel and are faulted in again. */
int rusm_engine_scans_pages(void);
/* One epoch tick: guests that run see host->tick soon after. Any thread, async-signal-safe. */
void rusm_engine_tick(rusm_engine *engine);

enum rusm_engine_kind {
    RUSM_ENGINE_COMPONENT = 0,
    RUSM_ENGINE_CORE_MODULE = 1,
};

/* SHA-256 of some bytes. */
void rusm_engine_digest(const uint8_t *data, size_t len, uint8_t out_digest[32]);

/* Compile wasm (binary or text, component or core module), or load it from the cache. Waits for
 * the compiler: never on a scheduler. RUSM_EGUEST with a text for anything that is not valid
 * Wasm. *out_cached (may be NULL) tells whether the cache had it. */
int rusm_engine_artifact_new(rusm_engine *engine, const uint8_t *wasm, size_t len,
                             rusm_engine_artifact **out_artifact, int *out_cached,
                             char **out_error);
void rusm_engine_artifact_free(rusm_engine_artifact *artifact);
int rusm_engine_artifact_kind(const rusm_engine_artifact *artifact);
/* What its machine code and data take in memory. */
size_t rusm_engine_artifact_code_bytes(const rusm_engine_artifact *artifact);
/* What is kept of its DWARF for back-traces, at the most; 0: it has none, or none worth reading. */
size_t rusm_engine_artifact_symbol_bytes(const rusm_engine_artifact *artifact);

/* Get what a URL holds (http, https with the certificates that the system trusts), on the reactor's
 * thread. Redirects are followed, never from https to http; anything but a success is an error.
 * This machine and its links (loopback, link-local addresses) are refused unless allow_local is
 * set, and then only at the place that the URL names itself. */
typedef struct rusm_engine_fetch rusm_engine_fetch;
typedef struct rusm_engine_fetch_options {
    size_t size;
    const char *url; /* copied */
    size_t max_bytes;
    uint32_t max_redirects;
    uint32_t timeout_ms; /* for all of it */
    int allow_local;
    /* Called exactly once, on another thread, maybe before the start has returned. 0 and the bytes,
     * or RUSM_EGUEST and a text; both are valid during the call. It must not wait. */
    void (*done)(void *arg, int code, const uint8_t *bytes, size_t len, const char *text);
    void *arg;
} rusm_engine_fetch_options;
int rusm_engine_fetch_start(const rusm_engine_fetch_options *options, rusm_engine_fetch **out_fetch,
                            char **out_error);
/* Calls it off if it is under way: done comes soon, if it has not come. */
void rusm_engine_fetch_free(rusm_engine_fetch *fetch);

/* What an artefact exports, to classify it: 1 or 0. For a component: a top-level function of that
 * name; for a core module: a function of type () -> (). */
int rusm_engine_artifact_has_function(const rusm_engine_artifact *artifact, const char *name);
/* 1 if the component exports an instance whose name starts with prefix, e.g. "wasi:cli/run@0.2".*/
int rusm_engine_artifact_has_instance(const rusm_engine_artifact *artifact, const char *prefix);
/* 1 if the component imports this interface, in a version that fits. */
int rusm_engine_artifact_imports(const rusm_engine_artifact *artifact, const char *interface);

/* What WASI lets a guest see. Built once per component; contexts are built from it when a guest
 * first asks. Everything is denied until added. */
rusm_engine_wasi *rusm_engine_wasi_new(void);
void rusm_engine_wasi_free(rusm_engine_wasi *wasi);
int rusm_engine_wasi_add_env(rusm_engine_wasi *wasi, const char *name, const char *value);
int rusm_engine_wasi_add_arg(rusm_engine_wasi *wasi, const char *arg);
int rusm_engine_wasi_add_preopen(rusm_engine_wasi *wasi, const char *host_dir,
                                 const char *guest_dir, int read_only);
void rusm_engine_wasi_allow_stdio(rusm_engine_wasi *wasi);
void rusm_engine_wasi_allow_network(rusm_engine_wasi *wasi);

enum rusm_engine_entry {
    RUSM_ENGINE_ENTRY_FUNCTION = 0, /* the export `entry`, () -> () */
    RUSM_ENGINE_ENTRY_COMMAND = 1,  /* wasi:cli/run (component) or _start (core module) */
};

/* Resolve the imports once. What wasi grants is copied; NULL grants nothing. RUSM_EGUEST with a
 * text that names the entry or each import that is not offered. The artefact may be freed
 * afterwards. */
int rusm_engine_prepare(rusm_engine_artifact *artifact, int entry_kind, const char *entry,
                        const rusm_engine_wasi *wasi, rusm_engine_prepared **out_prepared,
                        char **out_error);
/* The same for another engine, made with the same numbers: entry, grants and the bytes below, and a
 * copy of the machine code. Every start of an instance writes to counts of its engine and its
 * code; guests of the copy do not write to those of the original. Takes as long as it takes to copy
 * the code: not on a scheduler. RUSM_ENOMEM, RUSM_ESTATE with a text. */
int rusm_engine_prepared_copy(const rusm_engine_prepared *prepared, rusm_engine *engine,
                              rusm_engine_prepared **out_prepared, char **out_error);
/* How many bytes a guest may hand over in one host call; beyond that it traps before C is asked.
 * 0 is the default, 128 MiB. To be set before the first start. */
void rusm_engine_prepared_set_call_bytes(rusm_engine_prepared *prepared, size_t bytes);
/* How many handles of WASI (files, sockets, streams, headers of requests) a guest may hold; one
 * more ends it with error kind RUSM_ENGINE_ERROR_HANDLES. 0 is the default, 10,000. To be set
 * before the first start. */
void rusm_engine_prepared_set_handles(rusm_engine_prepared *prepared, uint32_t handles);
/* Instances keep what they need of it: it may be freed while some live. */
void rusm_engine_prepared_free(rusm_engine_prepared *prepared);

enum rusm_engine_outcome {
    RUSM_ENGINE_DONE = 0,    /* the entry returned */
    RUSM_ENGINE_PENDING = 1, /* waits: for C (a poll answered PENDING) or for WASI (host->wake) */
    RUSM_ENGINE_YIELDED = 2, /* host->tick answered YIELD: resume again later */
    RUSM_ENGINE_TRAPPED = 3, /* see rusm_engine_instance_error */
    RUSM_ENGINE_EXITED = 4,  /* proc_exit / wasi:cli/exit / run returned err: see exit_status */
};

/* Make an instance; nothing runs yet. pid is what host->wake gets. RUSM_ENOMEM. Never waits. */
int rusm_engine_start(rusm_engine_prepared *prepared, struct rusm__guest *guest, uint64_t pid,
                      rusm_engine_instance **out_instance);
/* Run until an outcome. After DONE, TRAPPED or EXITED only the calls below are allowed. A slot
 * that the pool cannot give is TRAPPED with error kind RUSM_ENGINE_ERROR_POOL. */
int rusm_engine_resume(rusm_engine_instance *instance);
/* The next resume ends the guest: a waiting host call answers an error, a running one is stopped
 * at its next tick. The outcome is TRAPPED with kind STOPPED. */
void rusm_engine_stop(rusm_engine_instance *instance);
/* Drop whatever state it is in; gives the slot back. On a scheduler with no lock held. */
void rusm_engine_drop(rusm_engine_instance *instance);

enum rusm_engine_error_kind {
    RUSM_ENGINE_ERROR_TRAP = 0,    /* a fault of the guest */
    RUSM_ENGINE_ERROR_START = 1,   /* it could not be instantiated */
    RUSM_ENGINE_ERROR_POOL = 2,    /* no slot was free */
    RUSM_ENGINE_ERROR_STOPPED = 3, /* rusm_engine_stop or host->tick answered STOP */
    RUSM_ENGINE_ERROR_HOST = 4,    /* a panic or an error of the engine */
    RUSM_ENGINE_ERROR_HANDLES = 5, /* it wanted one more handle of WASI than it may hold */
};
/* After TRAPPED: the kind, the cause in one line and, if there is one, the back-trace, one frame a
 * line. A trap in a start function is TRAP, a fault of the guest; START is everything else that
 * keeps an instance from being made, such as a memory above the ceiling. The texts live as long as
 * the instance. Any out_ may be NULL. RUSM_ESTATE before TRAPPED. */
int rusm_engine_instance_error(rusm_engine_instance *instance, const char **out_cause,
                               const char **out_backtrace);
/* One word for it: of a trap "unreachable", "stack-overflow", "memory-out-of-bounds",
 * "division-by-zero" and so on, else "host-call" (a host call refused to go on), "start", "pool",
 * "stopped", "engine". Static; NULL before TRAPPED. */
const char *rusm_engine_instance_trap(const rusm_engine_instance *instance);
int rusm_engine_instance_exit_status(const rusm_engine_instance *instance);
/* Bytes of linear memory that the instance has now, all memories together; after its end, those
 * that it had then. */
uint64_t rusm_engine_instance_memory_bytes(const rusm_engine_instance *instance);

/* Wasmtime's version, "48.0.8". Static. */
const char *rusm_engine_version(void);

#endif

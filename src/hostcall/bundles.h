/* SPDX-License-Identifier: MIT */
/* From a source to a component that can be spawned, once for all who ask at the same time.
 *
 *   ask    known -> the component, held            else -> a load, which the call waits for
 *   load   queued -> one thread gets the bytes, looks whether they are known, compiles
 *          (a url: queued -> fetching, by the engine's HTTP client -> queued with its bytes)
 *          done   -> every call that waits holds the component, or has the text of the failure
 *   forget the guest is gone: its call leaves the load, which goes on for others, or not at all
 *
 * One thread compiles, so bytes that come from two places at once are compiled once; the compiler
 * itself uses all cores. Failures are not kept: who asks again starts anew.
 *
 * Threads: ask and forget on schedulers. `lock` guards tables, loads and what a waiting call
 * points to; it is never held over a read, a compilation or an unmapping. A call is woken with the
 * lock held, so its guest, which forgets it first, and with it the runtime, are still there. */
#ifndef RUSM__HOSTCALL_BUNDLES_H
#define RUSM__HOSTCALL_BUNDLES_H

#include <pthread.h>
#include <stdatomic.h>

#include "rusm/runtime.h"

#include "hostcall/bundle_table.h"

struct rusm__kv;
struct rusm__kv_reader;

#define RUSM__BUNDLE_MAX_BYTES ((size_t)16 << 20) /* of one source */
enum { RUSM__LOADS_MAX = 256 };
#define RUSM__LOADS_MAX_BYTES ((size_t)64 << 20) /* of inline sources that wait */

/* URLs that are fetched at once, or were and wait to be compiled: 256 MiB of bytes at most. */
enum { RUSM__FETCHES_MAX = 16 };

enum { RUSM__BUNDLE_NAME_BYTES = 2048 }; /* of a source that names a place */

enum rusm__bundle_place {
    RUSM__BUNDLE_INLINE,
    RUSM__BUNDLE_KV,
    RUSM__BUNDLE_URL,
    RUSM__BUNDLE_URL_LOCAL, /* the profile lists its host: known apart from the same URL without */
};

/* Borrowed text, taken apart. */
struct rusm__bundle_source {
    enum rusm__bundle_place place;
    struct rusm__slice whole; /* without blanks around it */
    struct rusm__slice first; /* inline: the bytes; kv: the bucket; url: the URL */
    struct rusm__slice key;   /* kv */
};

enum rusm__bundle_state {
    RUSM__BUNDLE_IDLE,
    RUSM__BUNDLE_WAITING, /* in its load's list */
    RUSM__BUNDLE_DONE,    /* the component is held, or the error is set */
};

struct rusm__load;

/* One guest's question. */
struct rusm__bundle_call {
    struct rusm__list waiting; /* these two are guarded by the lock */
    struct rusm__load *load;   /* the one that it waits for; NULL: none */
    rusm_pid pid;
    /* The thread stores DONE (release) when the rest is set; the poll that sees it (acquire) may
     * use that. All other changes are the guest's own. */
    _Atomic int state;
    struct rusm__component *component; /* held; NULL: it failed */
    char *error;                       /* owned; NULL: memory was short */
};

struct rusm__bundles {
    /* fixed at init */
    rusm_runtime *runtime;
    struct rusm__kv *kv; /* NULL: none is configured */
    uint64_t ttl_ns;     /* 0: nothing is kept */
    bool is_started;
    pthread_t thread;
    struct rusm__kv_reader *reader; /* the thread's own */
    /* guarded by lock */
    pthread_mutex_t lock;
    pthread_cond_t work; /* on the monotonic clock */
    struct rusm__bundle_table table;
    struct rusm__digest_memo memo;
    struct rusm__list queue; /* of loads: those with fetched bytes, then the others as they came */
    struct rusm__list fetching; /* loads that the reactor will bring back into the queue */
    struct rusm__load *active;  /* the one that the thread has taken */
    size_t load_count;
    size_t load_bytes;
    size_t fetch_count; /* loads that hold one of RUSM__FETCHES_MAX */
    bool closing;
    uint64_t compiled; /* how many, for tests and people */
};

void rusm__bundles_init(struct rusm__bundles *bundles, rusm_runtime *runtime, struct rusm__kv *kv,
                        uint64_t ttl_ns);
/* What only spawn-from needs: memory and the thread. Before the first question, which only a
 * template makes possible; again is nothing. RUSM_ENOMEM, RUSM_EIO. */
RUSM_MUST_USE int rusm__bundles_start(struct rusm__bundles *bundles);
/* Every guest has ended, the sandbox has not: end the thread after the work at hand, unload
 * everything. */
void rusm__bundles_stop(struct rusm__bundles *bundles);
void rusm__bundles_fini(struct rusm__bundles *bundles);

/* The call is DONE or WAITING afterwards. Copies what it needs of the source. */
void rusm__bundles_ask(struct rusm__bundles *bundles, struct rusm__template *template,
                       const struct rusm__bundle_source *source, struct rusm__bundle_call *call);
/* The guest has ended. */
void rusm__bundles_forget(struct rusm__bundles *bundles, struct rusm__bundle_call *call);

uint64_t rusm__bundles_compiled(struct rusm__bundles *bundles);

#endif

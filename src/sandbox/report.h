/* SPDX-License-Identifier: MIT */
/* Crash reports: what is known of a guest that ended as it should not have. Each is written to the
 * log once, and the latest are kept to be looked at.
 *
 * A storm of crashes must cost neither the log nor the node: a component has an allowance of
 * reports, and so has the node. A crash beyond it is counted, and the count stands in the
 * component's next report; no symbols are read for it and the core writes no line about it. */
#ifndef RUSM__SANDBOX_REPORT_H
#define RUSM__SANDBOX_REPORT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/process.h"

#include "base/list.h"
#include "sandbox/allowance.h"

struct rusm__body;
struct rusm__component;

enum {
    RUSM__REPORTS_MAX = 64,                 /* kept */
    RUSM__REPORTS_MAX_BYTES = 256 << 10,    /* kept, all together */
    RUSM__REPORTS_OF_COMPONENT_MAX = 8,     /* kept of one component */
    RUSM__REPORT_TRACE_MAX_BYTES = 8 << 10, /* of one back-trace; what is more is left out */
    RUSM__REPORTS_AT_ONCE = 32,             /* of one component, then eight a second */
    RUSM__REPORTS_AT_ONCE_OF_NODE = 256,    /* then 64 a second */
};

/* Never changed once it is made. The texts are behind it in the same block. */
struct rusm__report {
    struct rusm__list link; /* in rusm__reports.kept */
    _Atomic uint32_t refs;
    size_t bytes;              /* of the block */
    uint64_t number;           /* of the crashes since the sandbox was opened, from 1 */
    uint64_t untold;           /* crashes of this component since its report before, without one */
    int64_t unix_ns;           /* when it ended */
    uint64_t uptime_ns;        /* since its spawn, to some milliseconds */
    uint64_t cpu_ns;           /* of its unit of work, up to its last tick; 0: not measured */
    uint64_t memory_bytes;     /* linear memory at its end; it never shrinks, so this is its peak */
    uint64_t memory_max_bytes; /* what each linear memory may have */
    uint64_t host_bytes;       /* what else the host held for it, see struct rusm__ledger */
    uint64_t host_max_bytes;   /* 0: no limit */
    rusm_pid pid;
    uint32_t mail_depth; /* see process-info */
    uint32_t restarts;   /* by its supervisor, before this end */
    const char *component;
    const char *label;
    const char *reason;
    const char *trap;      /* one word: of a trap, or "exit", "start", "pool", "stopped" ... */
    const char *backtrace; /* one frame a line, the innermost first; "" if there is none */
};

struct rusm__reports {
    struct rusm__allowance allowance;
    /* any thread, relaxed: they are only shown */
    _Atomic uint64_t crashes;
    _Atomic uint64_t untold;
    /* guarded by lock */
    pthread_mutex_t lock;
    struct rusm__list kept; /* the oldest first */
    size_t count;
    size_t bytes;
};

void rusm__reports_init(struct rusm__reports *reports);
void rusm__reports_fini(struct rusm__reports *reports);

/* The guest has ended and still has its instance. If it crashed: report it. On the scheduler's own
 * stack. */
void rusm__report_end(struct rusm__body *body, rusm_proc *self);
/* Say how many crashes of the component were not told since it was said last, if any: before its
 * next report, and before it is freed. Returns the number. */
uint64_t rusm__report_untold(struct rusm__component *component);

/* ---- looking at them; any thread ---- */

struct rusm__sandbox;

/* The latest ones, the newest first, each for the caller to release. Returns how many. */
size_t rusm__sandbox_reports(struct rusm__sandbox *sandbox, const struct rusm__report **out_reports,
                             size_t cap);
void rusm__report_release(const struct rusm__report *report);
/* Crashes since the sandbox was opened; *out_untold, which may be NULL: those without a report. */
uint64_t rusm__sandbox_crashes(const struct rusm__sandbox *sandbox, uint64_t *out_untold);

#endif

/* SPDX-License-Identifier: MIT */
/* Making, telling and keeping crash reports. */
#include "sandbox/report.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "proc/proc.h"
#include "sandbox/lines.h"
#include "sandbox/sandbox_impl.h"

#define INTERVAL_NS      (RUSM__SECOND / 8)
#define NODE_INTERVAL_NS (RUSM__SECOND / 64)

/* ---- what is kept ---- */

void rusm__reports_init(struct rusm__reports *reports) {
    pthread_mutex_init(&reports->lock, NULL);
    rusm__list_init(&reports->kept);
}

static struct rusm__report *report_at(struct rusm__list *node) {
    return rusm__list_entry(node, struct rusm__report, link);
}

void rusm__report_release(const struct rusm__report *report) {
    struct rusm__report *own = (struct rusm__report *)(uintptr_t)report;
    /* acq_rel: whoever frees it comes after everybody's last look. */
    if (atomic_fetch_sub_explicit(&own->refs, 1, memory_order_acq_rel) == 1)
        rusm__mem_free(own);
}

/* With the lock held. */
static void forget(struct rusm__reports *reports, struct rusm__report *report) {
    rusm__list_unlink(&report->link);
    reports->count--;
    reports->bytes -= report->bytes;
    rusm__report_release(report);
}

void rusm__reports_fini(struct rusm__reports *reports) {
    while (!rusm__list_is_empty(&reports->kept))
        forget(reports, report_at(reports->kept.next));
    pthread_mutex_destroy(&reports->lock);
}

/* The oldest report of this component if it has as many as one may have; a component that keeps
 * crashing does not push out what is known of others. */
static struct rusm__report *oldest_of(struct rusm__reports *reports, const char *component) {
    struct rusm__report *oldest = NULL;
    size_t count = 0;
    rusm__list_each(node, &reports->kept) {
        if (strcmp(report_at(node)->component, component) != 0)
            continue;
        if (!oldest)
            oldest = report_at(node);
        count++;
    }
    return count >= RUSM__REPORTS_OF_COMPONENT_MAX ? oldest : NULL;
}

static void keep(struct rusm__reports *reports, struct rusm__report *report) {
    pthread_mutex_lock(&reports->lock);
    struct rusm__report *oldest = oldest_of(reports, report->component);
    if (oldest)
        forget(reports, oldest);
    while (reports->count && (reports->count >= RUSM__REPORTS_MAX ||
                              reports->bytes + report->bytes > RUSM__REPORTS_MAX_BYTES))
        forget(reports, report_at(reports->kept.next));
    rusm__list_push_back(&reports->kept, &report->link);
    reports->count++;
    reports->bytes += report->bytes;
    pthread_mutex_unlock(&reports->lock);
}

size_t rusm__sandbox_reports(struct rusm__sandbox *sandbox, const struct rusm__report **out_reports,
                             size_t cap) {
    struct rusm__reports *reports = &sandbox->reports;
    size_t count = 0;
    pthread_mutex_lock(&reports->lock);
    for (struct rusm__list *node = reports->kept.prev; node != &reports->kept && count < cap;
         node = node->prev) {
        /* Relaxed: the list's own reference keeps it. */
        atomic_fetch_add_explicit(&report_at(node)->refs, 1, memory_order_relaxed);
        out_reports[count++] = report_at(node);
    }
    pthread_mutex_unlock(&reports->lock);
    return count;
}

uint64_t rusm__sandbox_crashes(const struct rusm__sandbox *sandbox, uint64_t *out_untold) {
    const struct rusm__reports *reports = &sandbox->reports;
    if (out_untold)
        *out_untold = atomic_load_explicit(&reports->untold, memory_order_relaxed);
    return atomic_load_explicit(&reports->crashes, memory_order_relaxed);
}

/* ---- making one ---- */

/* What goes behind the report. */
struct texts {
    const char *component, *label, *reason, *trap, *backtrace;
    size_t trace_len;
};

/* Whole lines, as many as are kept. */
static size_t trace_len(const char *backtrace) {
    size_t len = strnlen(backtrace, RUSM__REPORT_TRACE_MAX_BYTES + 1);
    if (len <= RUSM__REPORT_TRACE_MAX_BYTES)
        return len;
    const char *end = memrchr(backtrace, '\n', RUSM__REPORT_TRACE_MAX_BYTES);
    return end ? (size_t)(end - backtrace) : RUSM__REPORT_TRACE_MAX_BYTES;
}

/* The words of the engine, which hold while the instance lives. A guest that was ended in the
 * middle of WASI, or before it ran, has none. */
static void ask_engine(const struct rusm__body *body, struct texts *texts) {
    const char *backtrace = NULL;
    const char *trap = NULL;
    if (body->instance) {
        trap = rusm_engine_instance_trap(body->instance);
        (void)rusm_engine_instance_error(body->instance, NULL, &backtrace);
        if (!trap && rusm_engine_instance_exit_status(body->instance) != 0)
            trap = "exit";
    }
    texts->trap = trap ? trap : "none";
    texts->backtrace = backtrace ? backtrace : "";
    texts->trace_len = trace_len(texts->backtrace);
}

static const char *put(char **at, const char *text, size_t len) {
    char *begin = *at;
    memcpy(begin, text, len);
    begin[len] = '\0';
    *at += len + 1;
    return begin;
}

/* NULL: no memory. */
static struct rusm__report *new_report(const struct texts *texts) {
    size_t component = strlen(texts->component), label = strlen(texts->label);
    size_t reason = strlen(texts->reason), trap = strlen(texts->trap);
    size_t bytes =
        sizeof(struct rusm__report) + component + label + reason + trap + texts->trace_len + 5;
    struct rusm__report *report = rusm__mem_try_zalloc(bytes);
    if (!report)
        return NULL;
    char *at = (char *)(report + 1);
    report->bytes = bytes;
    report->component = put(&at, texts->component, component);
    report->label = put(&at, texts->label, label);
    report->reason = put(&at, texts->reason, reason);
    report->trap = put(&at, texts->trap, trap);
    report->backtrace = put(&at, texts->backtrace, texts->trace_len);
    atomic_init(&report->refs, 1);
    rusm__list_init(&report->link);
    return report;
}

static void measure(struct rusm__report *report, struct rusm__body *body, const rusm_proc *self) {
    struct rusm__ledger ledger;
    rusm__guest_get_ledger(&body->guest, &ledger);
    report->unix_ns = rusm__clock_unix_ns();
    report->uptime_ns = rusm__clock_coarse_ns() - body->born_ns;
    if (body->unit && body->unit->state == RUSM__UNIT_COUNTED)
        report->cpu_ns = body->unit->used_ns;
    report->memory_bytes = ledger.memory_bytes;
    report->memory_max_bytes = ledger.max_memory_bytes;
    report->host_bytes = ledger.host_bytes;
    report->host_max_bytes = ledger.max_host_bytes;
    report->pid = body->guest.pid;
    report->mail_depth = rusm__proc_mail_depth(self);
    report->restarts = body->restarts;
}

/* ---- telling ---- */

static bool may_tell(struct rusm__component *component) {
    uint64_t now = rusm__clock_ns();
    return rusm__allowance_take(&component->reports, now, INTERVAL_NS, RUSM__REPORTS_AT_ONCE) &&
           rusm__allowance_take(&component->sandbox->reports.allowance, now, NODE_INTERVAL_NS,
                                RUSM__REPORTS_AT_ONCE_OF_NODE);
}

static void count_untold(struct rusm__component *component) {
    atomic_fetch_add_explicit(&component->untold, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&component->sandbox->reports.untold, 1, memory_order_relaxed);
}

uint64_t rusm__report_untold(struct rusm__component *component) {
    uint64_t untold = atomic_exchange_explicit(&component->untold, 0, memory_order_relaxed);
    if (untold)
        rusm__line_untold(component->name, untold);
    return untold;
}

static void tell(struct rusm__component *component, struct rusm__body *body, rusm_proc *self,
                 uint64_t number) {
    struct texts texts = {.component = component->name, .label = rusm__proc_label(self)};
    (void)rusm__proc_exit(self, &texts.reason);
    ask_engine(body, &texts);
    struct rusm__report *report = new_report(&texts);
    if (!report) {
        count_untold(component);
        return;
    }
    measure(report, body, self);
    report->number = number;
    report->untold = rusm__report_untold(component);
    rusm__line_crash(report);
    rusm__line_trace(report->pid, component->name, report->backtrace);
    keep(&component->sandbox->reports, report);
}

void rusm__report_end(struct rusm__body *body, rusm_proc *self) {
    struct rusm__component *component = body->guest.component;
    const char *reason;
    rusm_exit_kind kind = rusm__proc_exit(self, &reason);
    if (kind != RUSM_EXIT_CRASHED && kind != RUSM_EXIT_NOPROC)
        return;
    struct rusm__reports *reports = &component->sandbox->reports;
    uint64_t number = atomic_fetch_add_explicit(&reports->crashes, 1, memory_order_relaxed) + 1;
    if (may_tell(component)) {
        tell(component, body, self, number);
        return;
    }
    count_untold(component);
    rusm__proc_mute(self);
}

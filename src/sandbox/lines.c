/* SPDX-License-Identifier: MIT */
/* Log lines about guests. */
#include "sandbox/lines.h"

#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "sandbox/report.h"

#define FRAMES_MAX 48

static const char platform[] = "rusm";

void rusm__line_spawn(const char *name, rusm_pid pid, const char *grants) {
    rusm__log(RUSM__LOG_DEBUG, platform, "spawn", "%s#%llu  %s", name, (unsigned long long)pid,
              grants);
}

/* "12 ms", "3.204 s": short lives by the millisecond. */
static void add_time(struct rusm__buf *line, uint64_t ns) {
    unsigned long long ms = ns / RUSM__MS;
    if (ms < 1000)
        rusm__buf_addf(line, "%llu ms", ms);
    else
        rusm__buf_addf(line, "%llu.%03llu s", ms / 1000, ms % 1000);
}

static void add_bytes(struct rusm__buf *line, const char *what, uint64_t bytes, uint64_t most) {
    rusm__buf_addf(line, ", %s %llu KiB", what, (unsigned long long)(bytes >> 10));
    if (most)
        rusm__buf_addf(line, " of %llu MiB", (unsigned long long)(most >> 20));
}

void rusm__line_crash(const struct rusm__report *report) {
    struct rusm__buf line;
    if (!rusm__log_wants(RUSM__LOG_ERROR))
        return;
    rusm__buf_init(&line);
    rusm__buf_addf(&line, "%s#%llu", report->component, (unsigned long long)report->pid);
    if (strcmp(report->label, report->component) != 0)
        rusm__buf_addf(&line, " (%s)", report->label);
    rusm__buf_addf(&line, "  report %llu: %s, lived ", (unsigned long long)report->number,
                   report->trap);
    add_time(&line, report->uptime_ns);
    if (report->cpu_ns) {
        rusm__buf_add_str(&line, ", cpu ");
        add_time(&line, report->cpu_ns);
    }
    add_bytes(&line, "memory", report->memory_bytes, report->memory_max_bytes);
    add_bytes(&line, "host", report->host_bytes, report->host_max_bytes);
    rusm__buf_addf(&line, ", mailbox %u, restarts %u", report->mail_depth, report->restarts);
    rusm__log_bytes(RUSM__LOG_ERROR, platform, "crash", line.data, line.len);
    rusm__buf_fini(&line);
}

void rusm__line_untold(const char *name, uint64_t count) {
    rusm__log(RUSM__LOG_ERROR, platform, "crash",
              "%s  %llu more crashes, too many at once to be told one by one", name,
              (unsigned long long)count);
}

void rusm__line_trace(rusm_pid pid, const char *label, const char *backtrace) {
    for (int frame = 0; *backtrace && frame < FRAMES_MAX; frame++) {
        int len = (int)strcspn(backtrace, "\n");
        rusm__log(RUSM__LOG_ERROR, platform, "trace", "%s#%llu  %.*s", label,
                  (unsigned long long)pid, len, backtrace);
        backtrace += len;
        backtrace += *backtrace == '\n';
    }
}

void rusm__line_kill(rusm_pid pid) {
    rusm__log(RUSM__LOG_INFO, platform, "kill", "#%llu", (unsigned long long)pid);
}

void rusm__line_kill_tag(const void *tag, size_t len, size_t count) {
    rusm__log(RUSM__LOG_INFO, platform, "kill", "%.*s → %zu", (int)len, (const char *)tag, count);
}

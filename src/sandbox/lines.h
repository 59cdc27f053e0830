/* SPDX-License-Identifier: MIT */
/* The log lines about the life of guests (lifecycle.md section 8). Any thread; none blocks, and
 * none runs on a guest's stack except rusm__line_kill and rusm__line_kill_tag, which are short. */
#ifndef RUSM__SANDBOX_LINES_H
#define RUSM__SANDBOX_LINES_H

#include <stddef.h>
#include <stdint.h>

#include "rusm/process.h"

/* debug: spawn  name#pid  grants */
void rusm__line_spawn(const char *name, rusm_pid pid, const char *grants);

/* error: crash  label#pid  the figures of the report, in one line. */
struct rusm__report;
void rusm__line_crash(const struct rusm__report *report);
/* error: crash  name  so many more, of which nothing else is said. */
void rusm__line_untold(const char *name, uint64_t count);

/* error: trace  label#pid  frame, one line per frame of a back-trace, the innermost ones first. */
void rusm__line_trace(rusm_pid pid, const char *label, const char *backtrace);

/* info: kill  #pid, or tag → count. */
void rusm__line_kill(rusm_pid pid);
void rusm__line_kill_tag(const void *tag, size_t len, size_t count);

#endif

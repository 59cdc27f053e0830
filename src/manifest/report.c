/* SPDX-License-Identifier: MIT */
/* The list of problems. Its storage is fixed, so a manifest of 1 MiB of nonsense costs 100 texts.
 */
#include "manifest/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 2048 };

void rusm__report_init(struct rusm__report *report) {
    *report = (struct rusm__report){.path = ""};
    rusm__arena_init(&report->arena);
}

void rusm__report_fini(struct rusm__report *report) {
    rusm__arena_fini(&report->arena);
    rusm__report_init(report);
}

void rusm__report_set_path(struct rusm__report *report, const char *path) {
    const char *copy = rusm__arena_try_strndup(&report->arena, path, strlen(path));
    report->path = copy != NULL ? copy : "";
    report->failed |= copy == NULL;
}

static struct rusm__problem *find_warning(struct rusm__report *report) {
    for (size_t i = report->count; i-- > 0;) {
        if (report->problems[i].severity == RUSM__WARNING) {
            return &report->problems[i];
        }
    }
    return NULL;
}

bool rusm__report_has_room(const struct rusm__report *report) {
    return report->count < RUSM__REPORT_MAX;
}

/* NULL if the problem is only counted. */
static struct rusm__problem *take_slot(struct rusm__report *report, enum rusm__severity severity) {
    if (rusm__report_has_room(report)) {
        return &report->problems[report->count++];
    }
    struct rusm__problem *slot = severity == RUSM__WARNING ? NULL : find_warning(report);
    if (severity == RUSM__WARNING || slot != NULL) {
        report->more_warnings++;
    } else {
        report->more_errors++;
    }
    return slot;
}

void rusm__report_add(struct rusm__report *report, enum rusm__severity severity,
                      struct rusm__pos at, const char *format, ...) {
    report->errors += severity != RUSM__WARNING;
    struct rusm__problem *problem = take_slot(report, severity);
    if (problem == NULL) {
        return;
    }
    char text[TEXT_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    size_t kept = len < 0 ? 0 : (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1;
    const char *copy = rusm__arena_try_strndup(&report->arena, text, kept);
    report->failed |= copy == NULL;
    *problem = (struct rusm__problem){at, severity, copy != NULL ? copy : "out of memory"};
}

/* Insertion sort: stable, and there are at most RUSM__REPORT_MAX problems. */
void rusm__report_sort(struct rusm__report *report) {
    for (size_t i = 1; i < report->count; i++) {
        struct rusm__problem moving = report->problems[i];
        size_t to = i;
        while (to > 0 && rusm__pos_compare(report->problems[to - 1].at, moving.at) > 0) {
            report->problems[to] = report->problems[to - 1];
            to--;
        }
        report->problems[to] = moving;
    }
}

static void print_problem(const struct rusm__report *report, const struct rusm__problem *problem,
                          struct rusm__buf *out) {
    static const char *const prefixes[] = {[RUSM__INVALID] = "invalid",
                                           [RUSM__UNSUPPORTED] = "unsupported",
                                           [RUSM__WARNING] = "warning:"};
    if (problem->at.line != 0) {
        rusm__buf_addf(out, "%s %s:%u:%u: ", prefixes[problem->severity], report->path,
                       problem->at.line, problem->at.column);
    }
    rusm__buf_add_str(out, problem->text);
}

void rusm__report_print(const struct rusm__report *report, bool warnings, struct rusm__buf *out) {
    bool first = true;
    for (size_t i = 0; i < report->count; i++) {
        if (report->problems[i].severity == RUSM__WARNING && !warnings) {
            continue;
        }
        rusm__buf_add_str(out, first ? "" : "\n");
        print_problem(report, &report->problems[i], out);
        first = false;
    }
    size_t more = report->more_errors + (warnings ? report->more_warnings : 0);
    if (more != 0) {
        rusm__buf_addf(out, "%sand %zu more problem%s in %s", first ? "" : "\n", more,
                       more == 1 ? "" : "s", report->path);
    }
}

struct rusm__shown rusm__show(const char *text, size_t len) {
    enum { KEPT = 64 };
    size_t kept = len;
    if (len > KEPT) { /* never cut inside a character: step back over continuation bytes */
        for (kept = KEPT; kept > 0 && ((unsigned char)text[kept] & 0xc0) == 0x80;) {
            kept--;
        }
    }
    struct rusm__shown shown;
    char *to = shown.text;
    for (size_t i = 0; i < kept; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7f) {
            to += snprintf(to, 5, "\\x%02x", c);
        } else {
            *to++ = (char)c;
        }
    }
    strcpy(to, kept < len ? "..." : "");
    return shown;
}

/* SPDX-License-Identifier: MIT */
/* What is wrong with a manifest: all of it in one go, sorted by place.
 *
 * A report keeps RUSM__REPORT_MAX problems and counts the rest; an error takes the place of a
 * warning when there is no room. It owns its texts, so it may outlive the manifest. Used by one
 * thread at a time. */
#ifndef RUSM__MANIFEST_REPORT_H
#define RUSM__MANIFEST_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "rusm/export.h"

#include "base/arena.h"
#include "base/buf.h"
#include "manifest/pos.h"

#define RUSM__REPORT_MAX 100

enum rusm__severity {
    RUSM__INVALID,     /* `invalid <path>:L:C: ...`: the manifest is refused */
    RUSM__UNSUPPORTED, /* `unsupported <path>:L:C: ...`: refused for the command at hand */
    RUSM__WARNING,     /* `warning: <path>:L:C: ...`: accepted, but hardly meant */
};

struct rusm__problem {
    struct rusm__pos at; /* line 0: about the file as a whole; the text says it all */
    enum rusm__severity severity;
    const char *text;
};

struct rusm__report {
    struct rusm__arena arena;
    const char *path; /* as the user wrote it */
    struct rusm__problem problems[RUSM__REPORT_MAX];
    size_t count;
    size_t errors;        /* INVALID and UNSUPPORTED, kept or not */
    size_t more_errors;   /* not kept */
    size_t more_warnings; /* not kept */
    bool failed;          /* memory was short: the report is not complete */
};

void rusm__report_init(struct rusm__report *report);
void rusm__report_fini(struct rusm__report *report);

/* Copies the path. */
void rusm__report_set_path(struct rusm__report *report, const char *path);

RUSM_PRINTF(4, 5)
void rusm__report_add(struct rusm__report *report, enum rusm__severity severity,
                      struct rusm__pos at, const char *format, ...);

/* By line, then column; problems of one place stay in the order in which they were found. */
void rusm__report_sort(struct rusm__report *report);

/* Whether one more error would be kept: costly hints need not be looked for otherwise. */
bool rusm__report_has_room(const struct rusm__report *report);

/* One line per problem, without a final newline. Warnings too if wanted. */
void rusm__report_print(const struct rusm__report *report, bool warnings, struct rusm__buf *out);

/* Text of the file as it may be shown: control characters as \xNN, cut after 64 bytes. The value
 * lives until the end of the full expression: use it as an argument. */
struct rusm__shown {
    char text[64 * 4 + 4];
};
struct rusm__shown rusm__show(const char *text, size_t len);

#endif

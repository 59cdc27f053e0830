/* SPDX-License-Identifier: MIT */
/* The node's log: one line per event to standard error, in the columns of lifecycle.md section 8.
 * Writing never blocks the caller: lines go into a bounded ring that one writer thread empties;
 * lines that do not fit are counted and reported by one line once there is room. */
#ifndef RUSM__BASE_LOG_H
#define RUSM__BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/export.h"

enum rusm__log_level {
    RUSM__LOG_OFF = 0,
    RUSM__LOG_ERROR = 1,
    RUSM__LOG_WARN = 2,
    RUSM__LOG_INFO = 3,
    RUSM__LOG_DEBUG = 4,
};

/* Start the writer on fd (2 in programs). Until then, and after stop, lines are dropped. Several
 * starts nest; each needs its stop; the descriptor of the first and the level of the latest hold.
 * RUSM_EINVAL, RUSM_ENOMEM, RUSM_EIO. */
RUSM_MUST_USE int rusm__log_start(int fd, enum rusm__log_level level);
/* Write what is queued, waiting at most one second for a reader, then stop. */
void rusm__log_stop(void);

void rusm__log_set_level(enum rusm__log_level level);
bool rusm__log_wants(enum rusm__log_level level); /* one relaxed load */

/* One line: `who` left in 14 columns, `verb` left in 6, then the text. Control characters in the
 * text are written as \n, \r, \t or \xNN, so no text can forge a line; texts are cut at 8 KiB, who
 * and verb at 64 bytes. Dropped unless the level is wanted. Any thread; never blocks. */
RUSM_PRINTF(4, 5)
void rusm__log(enum rusm__log_level level, const char *who, const char *verb, const char *format,
               ...);
/* As rusm__log with bytes instead of a format (guest text). */
void rusm__log_bytes(enum rusm__log_level level, const char *who, const char *verb,
                     const void *text, size_t len);

/* Lines dropped since the start. */
uint64_t rusm__log_dropped(void);

/* Wait until everything queued so far is written, at most timeout_ms. True if it is. */
bool rusm__log_flush(unsigned timeout_ms);

/* "off error warn info debug", aliases "warning" and "trace", any case, blanks around it. False
 * and *out_level untouched for other words. */
bool rusm__log_parse_level(const char *text, size_t len, enum rusm__log_level *out_level);

#endif

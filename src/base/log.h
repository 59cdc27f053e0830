/* SPDX-License-Identifier: MIT */
/* The log: one line per event, to a descriptor in columns or to a sink as a record. Writing never
 * blocks the caller: lines go into a bounded ring that one writer thread empties; lines that do not
 * fit are counted and reported by one line once there is room. The public side is rusm/log.h. */
#ifndef RUSM__BASE_LOG_H
#define RUSM__BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/export.h"
#include "rusm/log.h"

enum rusm__log_level {
    RUSM__LOG_OFF = 0,
    RUSM__LOG_ERROR = RUSM_LOG_ERROR,
    RUSM__LOG_WARN = RUSM_LOG_WARN,
    RUSM__LOG_INFO = RUSM_LOG_INFO,
    RUSM__LOG_DEBUG = RUSM_LOG_DEBUG,
};

/* Start the writer on fd (2 in programs). Until then, and after stop, lines are dropped. Several
 * starts nest; each needs its stop; the target of the first and the level of the latest hold.
 * RUSM_EINVAL, RUSM_ENOMEM, RUSM_EIO; RUSM_ESTATE from a sink, as all that start and stop. */
RUSM_MUST_USE int rusm__log_start(int fd, enum rusm__log_level level);
/* Write what is queued, waiting at most one second for a reader, then stop. */
void rusm__log_stop(void);

/* As rusm__log_start for the program itself: RUSM_EBUSY unless it is the first one. */
RUSM_MUST_USE int rusm__log_open(int fd, rusm_log_sink sink, void *arg, enum rusm__log_level level);
/* Undo rusm__log_open. RUSM_ESTATE: there was none. RUSM_EBUSY: others have started it as well. */
int rusm__log_close(void);

/* RUSM_ESTATE: not started. */
int rusm__log_set_level(enum rusm__log_level level);
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
/* The same until a moment of rusm__clock_ns. RUSM_ETIMEDOUT; RUSM_ESTATE: not started. */
int rusm__log_flush_until(uint64_t deadline_ns);

/* "off error warn info debug", aliases "warning" and "trace", any case, blanks around it. False
 * and *out_level untouched for other words. */
bool rusm__log_parse_level(const char *text, size_t len, enum rusm__log_level *out_level);

#endif

/* SPDX-License-Identifier: MIT */
/* The log: what the library has to say to whoever runs the program. One per program, shared by all
 * runtimes in it; silent until rusm_log_start, so a library says nothing that nobody asked for.
 *
 *     level  who            verb    text
 *     error  rusm           exit    label#pid  crashed: why
 *     info   rusm           exit    label#pid  normal: of RUSM_SPAWN_LOGGED; killed is a warning
 *     warn   label          stuck   #pid has not yielded for N ms
 *     warn   a supervisor   sup     child crashed; restart 1 of 3 in 5 s, after 0 ms (why)
 *     error  a supervisor   sup     child crashed; all given up after 3 restarts in 5 s (why)
 *     warn   rusm           spawn   refused: N processes live, which is the limit (max_processes)
 *     warn   rusm           log     N lines dropped
 *
 * To log never waits. Lines go into a bounded queue (4,096 lines, 4 MiB) that one thread, rusm-log,
 * empties to a descriptor or to a sink of the program; however slow those are, only that thread
 * waits for them. Lines that do not fit are counted, and one line says how many they were. */
#ifndef RUSM_LOG_H
#define RUSM_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rusm/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A level stands for itself and those before it. */
typedef enum rusm_log_level {
    RUSM_LOG_OFF = -1,
    RUSM_LOG_DEFAULT = 0, /* RUSM_LOG_WARN */
    RUSM_LOG_ERROR = 1,   /* something ended that should not have */
    RUSM_LOG_WARN = 2,    /* it goes on, and somebody should look */
    RUSM_LOG_INFO = 3,
    RUSM_LOG_DEBUG = 4,
} rusm_log_level;

/* One line, for a sink. The texts end with a zero byte and are clean: control characters, line ends
 * and bytes that are not UTF-8 are written as escapes, so no text of a peer or a guest can forge a
 * line or move a cursor. Borrowed: they are gone when the sink returns. */
typedef struct rusm_log_record {
    size_t size;
    rusm_log_level level;
    int64_t unix_ns;  /* when it was logged, since 1970, UTC */
    const char *who;  /* "rusm", or the label of a process, or the name of a supervisor */
    const char *verb; /* one word: exit, stuck, sup, spawn, log, or what rusm_log_write was given */
    const char *text; /* cut at 8 KiB before escapes */
} rusm_log_record;

/* Take a line. Called by the thread rusm-log alone, one line at a time, in the order in which they
 * were queued. It may wait: meanwhile lines gather and, past the bound, are dropped and counted. It
 * may call what any thread may call; what that logs is left out, and the functions below that start
 * and stop answer RUSM_ESTATE. */
typedef void (*rusm_log_sink)(const rusm_log_record *record, void *arg);

/* Set size to sizeof(rusm_log_options); everything else may stay 0 for the default. */
typedef struct rusm_log_options {
    size_t size;
    rusm_log_level level; /* 0 = RUSM_LOG_WARN */
    int fd;               /* stays the caller's, open until the stop; 0 = standard error */
    rusm_log_sink sink;   /* instead of the descriptor; NULL = none */
    void *arg;            /* for the sink; stays the caller's */
} rusm_log_options;

/* Begin to log. opts may be NULL: warnings and errors to standard error. On a descriptor each line
 * is `HH:MM:SS who verb text`, with colours on a terminal. Any thread, before or after runtimes
 * start; makes the thread rusm-log. A node that is started later logs here too and sets its own
 * level. RUSM_EINVAL: an option is out of range. RUSM_EBUSY: it was started already, by the program
 * or by a node. RUSM_ENOMEM, RUSM_EIO: the system refuses a thread or an event. RUSM_ESTATE: called
 * by a sink. */
RUSM_API RUSM_MUST_USE int rusm_log_start(const rusm_log_options *opts);

/* Write what is queued and stop. Waits: at most a second for a descriptor that takes nothing, what
 * is left then is dropped and counted; for a sink until the call under way has returned, and it is
 * not called again. What is logged from now on is dropped without a count. Not from a process.
 * RUSM_ESTATE: not started by rusm_log_start, or called by a sink. RUSM_EBUSY: a node still logs.
 */
RUSM_API int rusm_log_stop(void);

/* Change the level. Any thread; may wait for a start or a stop under way. RUSM_EINVAL; RUSM_ESTATE:
 * not started, or called by a sink. */
RUSM_API int rusm_log_set_level(rusm_log_level level);

/* Would a line of this level be taken? One load; any thread, never waits. */
RUSM_API bool rusm_log_wants(rusm_log_level level);

/* Log a line of the program's own. `who` and `verb` are cut at 64 bytes, `text`, of len bytes, at
 * 8 KiB; all are copied. Any thread and any process; never waits. A line that is not wanted is
 * left out, one that does not fit is counted. RUSM_EINVAL: no level of a line, or NULL. */
RUSM_API int rusm_log_write(rusm_log_level level, const char *who, const char *verb,
                            const char *text, size_t len);

/* Wait until everything that was queued before the call is written or taken by the sink, at most
 * until deadline_ns (rusm_now_ns clock). Any thread, but not from a process: it waits.
 * RUSM_ETIMEDOUT; RUSM_ESTATE: not started, or called by a sink. */
RUSM_API int rusm_log_flush(uint64_t deadline_ns);

/* Lines lost since the start: no room, no memory, or a descriptor that failed. Any thread. */
RUSM_API uint64_t rusm_log_dropped(void);

#ifdef __cplusplus
}
#endif
#endif

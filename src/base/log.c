/* SPDX-License-Identifier: MIT */
/* The log: the level gate, the writer thread, starting and stopping. Its public side is log_api.c.
 *
 * A thread that logs makes its line, queues it and wakes the writer if that sleeps; it never
 * touches the descriptor. The writer joins whole lines up to PIPE_BUF bytes, which a pipe takes in
 * one piece, so lines of several programs on one pipe do not mix. If the reader is slow only the
 * writer waits: the ring fills, further lines are dropped and counted.
 *
 * The descriptor is often shared with others (a terminal, a parent's pipe), and so is its
 * O_NONBLOCK flag, which therefore stays as it is. Instead log_out.c opens the same pipe or
 * terminal a second time, and asks a socket per call, so that the writer waits in poll only, where
 * it also hears of a stop. rusm__log_stop gives the reader one second; then the writer drops what
 * is left and ends.
 *
 * Where the system refuses the second opening (no /proc, a pipe of another user), poll is asked
 * before each write, and a pipe that polls writable takes PIPE_BUF bytes; still a write can block
 * when others fill the pipe in between. If the writer is caught there at the stop, the thread is
 * left behind (it ends by itself once its write returns) and the log cannot be started again. A
 * writer that only was not given the processor is waited for, as it always ends.
 *
 * A sink takes the place of the descriptor: the writer calls it line by line and waits for it, also
 * at the stop, so that it is not called once the stop has returned.
 *
 * All signals are blocked in the writer; so a closed pipe is EPIPE and no SIGPIPE.
 *
 *   life_lock   guards users, thread, stuck, by_program; held by start, stop and set_level only
 *   done_lock   guards nothing but the sleep of flush and stop on done_cond */
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rusm/error.h"

#include "base/clock.h"
#include "base/log_impl.h"
#include "base/mem.h"
#include "base/thread.h"

enum { STOP_MS = 1000, GIVE_UP_MS = 500, FORMAT_BYTES = 512 };

/* ---- state ---- */

static pthread_mutex_t life_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned users;   /* starts without their stop */
static pthread_t thread; /* the writer, while users > 0 */
static bool stuck;       /* a writer was left behind */
static bool by_program;  /* one of the users is the program itself (rusm__log_open) */

/* This is the writer: it must not wait for itself, and what its sink logs is left out, since each
 * line would bring another one. */
static _Thread_local bool is_writer;

static pthread_mutex_t done_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done_cond; /* on the monotonic clock; made by the first start */

static _Atomic(int) gate;          /* enum rusm__log_level; OFF while no writer runs */
static _Atomic(uint64_t) dropped;  /* any thread */
static _Atomic(size_t) written;    /* the writer: lines that left the ring and were dealt with */
static _Atomic(bool) stopping;     /* stop -> writer: write what there is and end */
static _Atomic(bool) giving_up;    /* stop -> writer: drop what there is and end */
static _Atomic(bool) finished;     /* writer -> stop */
static _Atomic(bool) asleep;       /* the writer waits for a wake-up, or is about to */
static _Atomic(size_t) writes;     /* the writer: begun and ended; odd inside of one */
static _Atomic(unsigned) watchers; /* threads that wait on done_cond */

/* Both stay for the life of the program, since a thread may be late with its line. */
static struct rusm__log_ring ring;
static struct rusm__log_wake wake; /* opened by the first start */

/* The writer thread only; the stopping thread after the join. */
static struct {
    rusm_log_sink sink; /* instead of `to`, unless NULL; it and arg are set before the start */
    void *arg;
    struct rusm__log_out to;
    bool colours;
    uint64_t reported; /* of `dropped`, told in a line */
    uint64_t tried;    /* of `dropped`, when it was last looked at */
    size_t lines;      /* of others, in `out` */
    struct rusm__buf out;
    struct rusm__buf line;
} writer;

/* ---- any thread ---- */

bool rusm__log_wants(enum rusm__log_level level) {
    /* relaxed: a line more or less around a change of level harms nobody. */
    return level != RUSM__LOG_OFF &&
           (int)level <= atomic_load_explicit(&gate, memory_order_relaxed);
}

uint64_t rusm__log_dropped(void) {
    return atomic_load_explicit(&dropped, memory_order_relaxed); /* relaxed: a count */
}

static void count_dropped(size_t lines) {
    atomic_fetch_add_explicit(&dropped, lines, memory_order_relaxed); /* relaxed: a count */
}

/* acq_rel on both sides, here and in sleep_if_idle: of the two exchanges one comes second. If it
 * is this one, it finds true and wakes; if it is the writer's, the writer sees the line. */
static void wake_writer(void) {
    if (atomic_exchange_explicit(&asleep, false, memory_order_acq_rel))
        rusm__log_wake_up(&wake);
}

void rusm__log_bytes(enum rusm__log_level level, const char *who, const char *verb,
                     const void *text, size_t len) {
    if (!rusm__log_wants(level) || is_writer)
        return;
    struct rusm__log_line *line = rusm__log_line_new(level, who, verb, text, len);
    if (!line || !rusm__log_ring_push(&ring, line)) {
        rusm__mem_free(line);
        count_dropped(1);
    }
    wake_writer(); /* also after a drop, so that it is reported */
}

/* Callers may stand on a small stack (guests' fibers), so longer texts go to the heap. */
static void log_long(enum rusm__log_level level, const char *who, const char *verb,
                     const char *format, va_list args, size_t len) {
    size_t size = (len <= RUSM__LOG_TEXT_MAX ? len : RUSM__LOG_TEXT_MAX + 1) + 1;
    char *text = rusm__mem_try_alloc(size);
    if (!text) {
        count_dropped(1);
        wake_writer();
        return;
    }
    vsnprintf(text, size, format, args);
    rusm__log_bytes(level, who, verb, text, size - 1);
    rusm__mem_free(text);
}

void rusm__log(enum rusm__log_level level, const char *who, const char *verb, const char *format,
               ...) {
    if (!rusm__log_wants(level))
        return;
    char text[FORMAT_BYTES];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(text, sizeof text, format, args);
    if (len < 0)
        count_dropped(1);
    else if ((size_t)len < sizeof text)
        rusm__log_bytes(level, who, verb, text, (size_t)len);
    else
        log_long(level, who, verb, format, again, (size_t)len);
    va_end(again);
    va_end(args);
}

/* ---- the writer ---- */

/* Tell flush and stop that something was dealt with. acq_rel with the one in wait_until: either
 * the watcher is counted here, or it sees the new state before it sleeps. */
static void tell_watchers(void) {
    if (atomic_fetch_add_explicit(&watchers, 0, memory_order_acq_rel) == 0)
        return;
    pthread_mutex_lock(&done_lock);
    pthread_cond_broadcast(&done_cond);
    pthread_mutex_unlock(&done_lock);
}

/* acquire: pairs with the store in stop_writer. */
static bool must_give_up(void) {
    return atomic_load_explicit(&giving_up, memory_order_acquire);
}

/* Write out all of it, waiting for the reader. False: the descriptor is of no more use, or the
 * stop will not wait longer. */
static bool write_all(const unsigned char *data, size_t len) {
    while (len) {
        if (must_give_up())
            return false;
        /* relaxed: read by a stop that wants to know whether we move at all (is_caught). */
        atomic_fetch_add_explicit(&writes, 1, memory_order_relaxed);
        ssize_t got = rusm__log_out_write(&writer.to, &wake, data, len < PIPE_BUF ? len : PIPE_BUF);
        atomic_fetch_add_explicit(&writes, 1, memory_order_relaxed);
        if (got < 0)
            return false;
        data += got;
        len -= (size_t)got;
    }
    return true;
}

/* Lines that could not be written are counted; that cannot be reported there. */
static void write_out(void) {
    if (!write_all(writer.out.data, writer.out.len)) {
        count_dropped(writer.lines);
        writer.reported = rusm__log_dropped();
    }
    /* release: the lines are out; pairs with the acquire in is_flushed. */
    atomic_fetch_add_explicit(&written, writer.lines, memory_order_release);
    writer.lines = 0;
    rusm__buf_clear(&writer.out);
    tell_watchers();
}

/* Give line, which stands for `count` lines of others, to the sink. */
static void deliver(const struct rusm__log_line *line, size_t count) {
    const rusm_log_record record = {.size = sizeof(record),
                                    .level = (rusm_log_level)line->level,
                                    .unix_ns = line->unix_ns,
                                    .who = line->bytes,
                                    .verb = rusm__log_line_verb(line),
                                    .text = rusm__log_line_text(line)};
    if (must_give_up())
        count_dropped(count);
    else
        writer.sink(&record, writer.arg);
    /* release: the sink has it; pairs with the acquire in is_flushed. */
    atomic_fetch_add_explicit(&written, count, memory_order_release);
    tell_watchers();
}

/* Take line, which stands for `count` lines of others, into what goes out; what is there goes
 * first if a pipe would tear the two together. */
static void gather(struct rusm__log_line *line, size_t count) {
    rusm__buf_clear(&writer.line);
    rusm__log_line_print(line, writer.colours, &writer.line);
    rusm__mem_free(line);
    if (writer.out.len && writer.out.len + writer.line.len > PIPE_BUF)
        write_out();
    size_t before = writer.out.len;
    rusm__buf_add(&writer.out, writer.line.data, writer.line.len);
    if (writer.line.failed || writer.out.failed) {
        writer.out.len = before;
        writer.out.failed = false;
        count_dropped(count);
    }
    writer.lines += count;
}

/* Takes line, which stands for `count` lines of others, to wherever lines go. */
static void take(struct rusm__log_line *line, size_t count) {
    if (writer.sink) {
        deliver(line, count);
        rusm__mem_free(line);
    } else {
        gather(line, count);
    }
}

/* Our own line about lost ones is not counted itself. False: there is nothing to tell. */
static bool gather_report(void) {
    uint64_t now = rusm__log_dropped();
    writer.tried = now;
    if (now == writer.reported)
        return false;
    char text[64];
    int len = snprintf(text, sizeof text, "%llu lines dropped",
                       (unsigned long long)(now - writer.reported));
    struct rusm__log_line *line =
        rusm__log_line_new(RUSM__LOG_WARN, "rusm", "log", text, (size_t)len);
    if (!line)
        return false; /* tried again when the next line wakes us */
    writer.reported = now;
    take(line, 0);
    return true;
}

/* Deal with everything there is. False if there was nothing. */
static bool work(void) {
    struct rusm__log_line *line;
    bool any = false;
    while ((line = rusm__log_ring_pop(&ring))) {
        take(line, 1);
        any = true;
    }
    any |= gather_report();
    if (writer.out.len || writer.lines)
        write_out();
    return any;
}

static bool must_stop(void) {
    /* acquire: what was logged before the stop is in the ring; pairs with the store in stop. */
    return atomic_load_explicit(&stopping, memory_order_acquire);
}

static bool is_idle(void) {
    return !rusm__log_ring_has_line(&ring) && rusm__log_dropped() == writer.tried && !must_stop();
}

/* Between saying that we sleep and sleeping there is only a look. To write there would be wrong: it
 * waits for room or a wake-up and takes the wake-up, which nobody sends a second time. */
static void sleep_if_idle(void) {
    /* acq_rel: see wake_writer. */
    atomic_exchange_explicit(&asleep, true, memory_order_acq_rel);
    if (is_idle())
        rusm__log_wake_wait(&wake);
    /* relaxed: true costs one needless wake-up. */
    atomic_store_explicit(&asleep, false, memory_order_relaxed);
}

static void *writer_main(void *unused) {
    (void)unused;
    is_writer = true;
    for (;;) {
        bool last = must_stop(); /* before the look into the ring, so the last look sees all */
        if (work())
            continue;
        if (last)
            break;
        sleep_if_idle();
    }
    /* release: pairs with the acquire in is_finished. */
    atomic_store_explicit(&finished, true, memory_order_release);
    tell_watchers();
    return NULL;
}

/* ---- waiting for the writer ---- */

static bool is_finished(size_t unused) {
    (void)unused;
    return atomic_load_explicit(&finished, memory_order_acquire);
}

static bool is_flushed(size_t goal) {
    return (ptrdiff_t)(atomic_load_explicit(&written, memory_order_acquire) - goal) >= 0;
}

/* Sleep until `reached` answers true or the time is over; returns its last answer. */
static bool wait_until(bool (*reached)(size_t), size_t goal, uint64_t end_ns) {
    atomic_fetch_add_explicit(&watchers, 1, memory_order_acq_rel); /* see tell_watchers */
    pthread_mutex_lock(&done_lock);
    bool answer;
    while (!(answer = reached(goal)))
        if (!rusm__cond_wait_until(&done_cond, &done_lock, end_ns)) {
            answer = reached(goal);
            break;
        }
    pthread_mutex_unlock(&done_lock);
    atomic_fetch_sub_explicit(&watchers, 1, memory_order_relaxed);
    return answer;
}

static uint64_t in_ms(unsigned ms) {
    return rusm__deadline_ms(rusm__clock_ns(), ms);
}

int rusm__log_flush_until(uint64_t deadline_ns) {
    if (is_writer)
        return RUSM_ESTATE;
    pthread_mutex_lock(&life_lock);
    bool running = users > 0;
    pthread_mutex_unlock(&life_lock);
    if (!running)
        return RUSM_ESTATE;
    /* relaxed: lines that this thread queued are before its own load. */
    size_t goal = atomic_load_explicit(&ring.tail, memory_order_relaxed);
    return wait_until(is_flushed, goal, deadline_ns) ? RUSM_OK : RUSM_ETIMEDOUT;
}

bool rusm__log_flush(unsigned timeout_ms) {
    return rusm__log_flush_until(in_ms(timeout_ms)) == RUSM_OK;
}

/* ---- starting and stopping ---- */

static int init_once(void) {
    static bool ready;
    if (ready)
        return RUSM_OK;
    if (!rusm__log_wake_open(&wake))
        return RUSM_EIO;
    rusm__cond_init_monotonic(&done_cond);
    rusm__log_ring_init(&ring);
    ready = true;
    return RUSM_OK;
}

/* Where the writer writes to: a sink, or a descriptor. */
static void set_target(int fd, rusm_log_sink sink, void *arg) {
    writer.sink = sink;
    writer.arg = arg;
    writer.to = (struct rusm__log_out){.fd = fd};
    if (!sink)
        rusm__log_out_open(&writer.to, fd);
    writer.colours = !sink && isatty(fd) == 1;
}

static int start_writer(int fd, rusm_log_sink sink, void *arg) {
    int result = stuck ? RUSM_EIO : init_once();
    if (result < 0)
        return result;
    set_target(fd, sink, arg);
    writer.reported = writer.tried = 0;
    /* relaxed: the writer starts after these; pthread_create orders them. */
    atomic_store_explicit(&dropped, 0, memory_order_relaxed);
    atomic_store_explicit(&stopping, false, memory_order_relaxed);
    atomic_store_explicit(&giving_up, false, memory_order_relaxed);
    atomic_store_explicit(&finished, false, memory_order_relaxed);
    result = rusm__thread_start(&thread, "rusm-log", writer_main, NULL);
    if (result < 0)
        rusm__log_out_close(&writer.to);
    return result;
}

/* One more user. With the lock. */
static int join(int fd, rusm_log_sink sink, void *arg, enum rusm__log_level level) {
    int result = users ? RUSM_OK : start_writer(fd, sink, arg);
    if (result == RUSM_OK) {
        users++;
        atomic_store_explicit(&gate, (int)level, memory_order_relaxed); /* see log_wants */
    }
    return result;
}

int rusm__log_start(int fd, enum rusm__log_level level) {
    if (fd < 0)
        return RUSM_EINVAL;
    if (is_writer)
        return RUSM_ESTATE;
    pthread_mutex_lock(&life_lock);
    int result = join(fd, NULL, NULL, level);
    pthread_mutex_unlock(&life_lock);
    return result;
}

int rusm__log_open(int fd, rusm_log_sink sink, void *arg, enum rusm__log_level level) {
    if (fd < 0)
        return RUSM_EINVAL;
    if (is_writer)
        return RUSM_ESTATE;
    pthread_mutex_lock(&life_lock);
    int result = users ? RUSM_EBUSY : join(fd, sink, arg, level);
    by_program = by_program || result == RUSM_OK;
    pthread_mutex_unlock(&life_lock);
    return result;
}

int rusm__log_set_level(enum rusm__log_level level) {
    if (is_writer)
        return RUSM_ESTATE;
    pthread_mutex_lock(&life_lock);
    int result = users ? RUSM_OK : RUSM_ESTATE;
    if (users)
        atomic_store_explicit(&gate, (int)level, memory_order_relaxed); /* see log_wants */
    pthread_mutex_unlock(&life_lock);
    return result;
}

/* The writer was told to give up and is still inside of the write that it was in GIVE_UP_MS ago. A
 * writer that is merely slow, on a busy machine, is waited for. */
static bool is_caught(void) {
    size_t before = atomic_load_explicit(&writes, memory_order_relaxed);
    return !wait_until(is_finished, 0, in_ms(GIVE_UP_MS)) && writer.to.may_block && before % 2 &&
           atomic_load_explicit(&writes, memory_order_relaxed) == before;
}

/* The writer empties the ring before it ends. A thread that was in the middle of a push may still
 * add a line after that; the next writer finds it. */
static void stop_writer(void) {
    atomic_store_explicit(&gate, RUSM__LOG_OFF, memory_order_relaxed); /* see log_wants */
    atomic_store_explicit(&stopping, true, memory_order_release);      /* see must_stop */
    rusm__log_wake_up(&wake);
    if (!wait_until(is_finished, 0, in_ms(STOP_MS))) {
        atomic_store_explicit(&giving_up, true, memory_order_release); /* see write_all */
        rusm__log_wake_up(&wake);
    }
    while (!is_finished(0))
        if (is_caught()) {
            pthread_detach(thread);
            stuck = true;
            return;
        }
    pthread_join(thread, NULL);
    rusm__log_out_close(&writer.to); /* nothing to close for a sink */
    rusm__buf_fini(&writer.out);
    rusm__buf_fini(&writer.line);
}

/* With the lock. */
static void leave(void) {
    if (users > 0 && --users == 0)
        stop_writer();
}

void rusm__log_stop(void) {
    if (is_writer)
        return;
    pthread_mutex_lock(&life_lock);
    if (users > by_program) /* the program's own start is not ours to undo */
        leave();
    pthread_mutex_unlock(&life_lock);
}

int rusm__log_close(void) {
    if (is_writer)
        return RUSM_ESTATE;
    pthread_mutex_lock(&life_lock);
    int result = !by_program ? RUSM_ESTATE : users > 1 ? RUSM_EBUSY : RUSM_OK;
    if (result == RUSM_OK) {
        by_program = false;
        leave();
    }
    pthread_mutex_unlock(&life_lock);
    return result;
}

/* SPDX-License-Identifier: MIT */
#include "node/census.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "rusm/error.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "proc/census.h"
#include "sandbox/sandbox.h"

#define AFTER_NS  (2 * RUSM__SECOND)
#define SETTLE_NS (20 * RUSM__MS) /* who has told of its end is gone by then */

enum { KINDS_MAX = 128 }; /* lines stay short: further words are counted together */

struct entry {
    char *word; /* owned; may hold zero bytes: guests choose it */
    size_t len;
    size_t count;
};

/* Sorted by word. */
struct tally {
    struct entry entries[KINDS_MAX];
    size_t used;
    size_t others; /* that found no place */
};

struct rusm__census {
    rusm_runtime *runtime;
    struct rusm__sandbox *sandbox;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake; /* on the monotonic clock */
    bool changed;        /* guarded by lock */
    bool over;           /* guarded by lock */
    /* the thread's own */
    struct tally labels;
    struct tally tags;
};

/* ---- counting ---- */

static int compare(const struct entry *entry, const char *word, size_t len) {
    size_t common = entry->len < len ? entry->len : len;
    int order = memcmp(entry->word, word, common);
    return order ? order : (entry->len > len) - (entry->len < len);
}

/* Where the word is, or belongs. */
static size_t place_of(const struct tally *tally, const char *word, size_t len) {
    size_t low = 0, high = tally->used;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(&tally->entries[middle], word, len) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void add(struct tally *tally, const char *word, size_t len, size_t count) {
    size_t at = place_of(tally, word, len);
    if (at < tally->used && compare(&tally->entries[at], word, len) == 0) {
        tally->entries[at].count += count;
        return;
    }
    char *copy = tally->used < KINDS_MAX ? rusm__mem_try_alloc(len + 1) : NULL;
    if (!copy) {
        tally->others += count;
        return;
    }
    memcpy(copy, word, len);
    memmove(&tally->entries[at + 1], &tally->entries[at],
            (tally->used - at) * sizeof(tally->entries[0]));
    tally->entries[at] = (struct entry){copy, len, count};
    tally->used++;
}

static void clear(struct tally *tally) {
    while (tally->used)
        rusm__mem_free(tally->entries[--tally->used].word);
    tally->others = 0;
}

static void count_label(const char *text, size_t len, void *arg) {
    add(&((struct rusm__census *)arg)->labels, text, len, 1);
}

static void count_tag(const char *text, size_t len, size_t members, void *arg) {
    if (members)
        add(&((struct rusm__census *)arg)->tags, text, len, members);
}

/* ---- telling ---- */

static void write_word(struct rusm__buf *line, const char *word, size_t len, size_t count) {
    rusm__buf_add_str(line, line->len ? "  " : "");
    rusm__buf_add(line, word, len);
    rusm__buf_addf(line, "=%zu", count);
}

static void write_tally(struct rusm__buf *line, const struct tally *tally) {
    for (size_t i = 0; i < tally->used; i++)
        write_word(line, tally->entries[i].word, tally->entries[i].len, tally->entries[i].count);
    if (tally->others)
        write_word(line, "…", strlen("…"), tally->others);
}

static void tell(struct rusm__census *census) {
    struct rusm__census_visit visit = {count_label, count_tag, census};
    struct rusm__buf line;
    rusm__proc_census(census->runtime, &visit);
    rusm__buf_init(&line);
    write_tally(&line, &census->labels);
    write_tally(&line, &census->tags);
    if (line.len)
        rusm__log_bytes(RUSM__LOG_INFO, "rusm", "census", line.data, line.len);
    else
        rusm__log(RUSM__LOG_INFO, "rusm", "census", "(none)");
    rusm__buf_fini(&line);
    clear(&census->labels);
    clear(&census->tags);
}

/* ---- the thread ---- */

/* With the lock. False: it is over. */
static bool sleep_for(struct rusm__census *census, uint64_t ns) {
    uint64_t until_ns = rusm__clock_ns() + ns;
    while (!census->over && rusm__cond_wait_until(&census->wake, &census->lock, until_ns)) {
    }
    return !census->over;
}

static void *run(void *arg) {
    struct rusm__census *census = arg;
    pthread_mutex_lock(&census->lock);
    while (!census->over) {
        if (!census->changed) {
            pthread_cond_wait(&census->wake, &census->lock);
            continue;
        }
        if (!sleep_for(census, AFTER_NS))
            break;
        census->changed = false;
        rusm__sandbox_watch(census->sandbox);
        if (!sleep_for(census, SETTLE_NS))
            break;
        pthread_mutex_unlock(&census->lock);
        tell(census);
        pthread_mutex_lock(&census->lock);
    }
    pthread_mutex_unlock(&census->lock);
    return NULL;
}

void rusm__census_note(void *arg) {
    struct rusm__census *census = arg;
    pthread_mutex_lock(&census->lock);
    census->changed = true;
    pthread_cond_signal(&census->wake);
    pthread_mutex_unlock(&census->lock);
}

void rusm__census_watch(struct rusm__census *census, struct rusm__sandbox *sandbox) {
    census->sandbox =
        sandbox; /* seen by the thread: it looks after the first note, with the lock */
    rusm__sandbox_watch(sandbox);
}

/* ---- life ---- */

int rusm__census_new(rusm_runtime *rt, struct rusm__census **out_census) {
    *out_census = NULL;
    struct rusm__census *census = rusm__mem_try_zalloc(sizeof(*census));
    if (!census)
        return RUSM_ENOMEM;
    census->runtime = rt;
    pthread_mutex_init(&census->lock, NULL);
    rusm__cond_init_monotonic(&census->wake);
    if (rusm__thread_start(&census->thread, "rusm-census", run, census) < 0) {
        rusm__census_free(census);
        return RUSM_ENOMEM;
    }
    *out_census = census;
    return RUSM_OK;
}

void rusm__census_stop(struct rusm__census *census) {
    if (!census)
        return;
    pthread_mutex_lock(&census->lock);
    census->over = true;
    pthread_cond_signal(&census->wake);
    pthread_mutex_unlock(&census->lock);
    pthread_join(census->thread, NULL);
}

void rusm__census_free(struct rusm__census *census) {
    if (!census)
        return;
    pthread_cond_destroy(&census->wake);
    pthread_mutex_destroy(&census->lock);
    rusm__mem_free(census);
}

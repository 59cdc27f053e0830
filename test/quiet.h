/* SPDX-License-Identifier: MIT */
/* Is everything over? By the kernel's books, not by the clock: on a busy machine something that is
 * about to happen can take any time.
 *
 * A thread that is in state S at two looks and has been switched out as often at the second as at
 * the first has slept from one to the other. If all have, they slept at the same time between the
 * end of the first look and the beginning of the second. A thread that was woken is not in state S,
 * even if it has not got a processor yet; so at that moment nothing was under way, and only a timer
 * or the one who asks could begin anything. */
#ifndef RUSM_TEST_QUIET_H
#define RUSM_TEST_QUIET_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { QUIET_THREADS_MAX = 64 };

struct quiet_look {
    unsigned count;
    bool all_sleep;
    struct {
        long tid;
        unsigned long long switches;
    } threads[QUIET_THREADS_MAX];
};

static inline void quiet_fail(const char *what) {
    perror(what);
    exit(2);
}

/* False: the thread is gone. */
static inline bool quiet_look_at(long tid, bool *out_sleeps, unsigned long long *out_switches) {
    char path[64], line[256], state = '?';
    unsigned long long count;
    unsigned fields = 0;
    snprintf(path, sizeof(path), "/proc/self/task/%ld/status", tid);
    FILE *file = fopen(path, "r");
    if (!file) {
        return false;
    }
    *out_switches = 0;
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "State: %c", &state) == 1) {
            fields++;
        } else if (sscanf(line, "voluntary_ctxt_switches: %llu", &count) == 1 ||
                   sscanf(line, "nonvoluntary_ctxt_switches: %llu", &count) == 1) {
            *out_switches += count;
            fields++;
        }
    }
    fclose(file);
    *out_sleeps = state == 'S';
    return fields == 3;
}

static inline void quiet_look_at_all(struct quiet_look *look) {
    DIR *folder = opendir("/proc/self/task");
    if (!folder) {
        quiet_fail("/proc/self/task");
    }
    *look = (struct quiet_look){.all_sleep = true};
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        long tid = strtol(entry->d_name, NULL, 10);
        bool sleeps;
        unsigned long long switches;
        if (tid <= 0 || tid == gettid()) {
            continue;
        }
        if (look->count == QUIET_THREADS_MAX || !quiet_look_at(tid, &sleeps, &switches)) {
            look->all_sleep = false;
            break;
        }
        look->threads[look->count].tid = tid;
        look->threads[look->count++].switches = switches;
        look->all_sleep = look->all_sleep && sleeps;
    }
    closedir(folder);
}

/* True if there was a moment since the last call (in this file) at which every other thread of this
 * program slept. Ends the program where /proc cannot be read. */
static inline bool quiet_since_last_call(void) {
    static struct quiet_look last;
    struct quiet_look look;
    quiet_look_at_all(&look);
    bool quiet = look.all_sleep && last.all_sleep && look.count == last.count && look.count > 0 &&
                 memcmp(look.threads, last.threads, look.count * sizeof(look.threads[0])) == 0;
    last = look;
    return quiet;
}

#endif

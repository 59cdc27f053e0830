/* SPDX-License-Identifier: MIT */
/* Is everything over? By the kernel's books, not by the clock: on a busy machine something that is
 * about to happen can take any time.
 *
 * A thread's file `syscall` names a call only if the thread has left its processor inside that call
 * and does not wait for another: the state S alone is entered a little earlier, and a thread can be
 * preempted right there, about to find that there is work after all. A thread that sleeps so at two
 * looks and has been switched out as often at the second as at the first has slept from one to the
 * other. If all have, they slept at the same time between the end of the first look and the
 * beginning of the second; so at that moment nothing was under way, and only a timer or the one who
 * asks could begin anything. */
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

/* False: the thread is gone, runs, or waits for a disk. */
static inline bool quiet_switches_of(long tid, unsigned long long *out) {
    char path[64], line[256], state = '?';
    unsigned long long count;
    unsigned fields = 0;
    snprintf(path, sizeof(path), "/proc/self/task/%ld/status", tid);
    FILE *file = fopen(path, "r");
    if (!file) {
        return false;
    }
    *out = 0;
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "State: %c", &state) == 1) {
            fields++;
        } else if (sscanf(line, "voluntary_ctxt_switches: %llu", &count) == 1 ||
                   sscanf(line, "nonvoluntary_ctxt_switches: %llu", &count) == 1) {
            *out += count;
            fields++;
        }
    }
    fclose(file);
    return fields == 3 && state == 'S';
}

static inline bool quiet_sleeps(long tid) {
    char path[64], line[256] = "";
    snprintf(path, sizeof(path), "/proc/self/task/%ld/syscall", tid);
    FILE *file = fopen(path, "r");
    if (!file) {
        return false;
    }
    bool sleeps = fgets(line, sizeof(line), file) && strncmp(line, "running", 7) != 0;
    fclose(file);
    return sleeps;
}

/* False: it does not sleep, or is gone. */
static inline bool quiet_look_at(long tid, unsigned long long *out_switches) {
    unsigned long long after;
    return quiet_switches_of(tid, out_switches) && quiet_sleeps(tid) &&
           quiet_switches_of(tid, &after) && after == *out_switches;
}

static inline void quiet_look_at_all(struct quiet_look *look) {
    DIR *folder = opendir("/proc/self/task");
    if (!folder) {
        quiet_fail("/proc/self/task");
    }
    *look = (struct quiet_look){.all_sleep = true};
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        long tid = strtol(entry->d_name, NULL, 10);
        unsigned long long switches;
        if (tid <= 0 || tid == gettid()) {
            continue;
        }
        if (look->count == QUIET_THREADS_MAX || !quiet_look_at(tid, &switches)) {
            look->all_sleep = false;
            break;
        }
        look->threads[look->count].tid = tid;
        look->threads[look->count++].switches = switches;
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

/* SPDX-License-Identifier: MIT */
/* sim --seeds N [--from S]     run that many seeds, or until 20 have failed; exit 1 if one has
 * sim --seed X [--trace]       run one; --trace tells what happens
 * sim --twice ...              run each seed twice and compare the hashes
 *
 * Each seed runs in a process of its own, so that it finds the core as new, and a crash is a
 * finding like any other. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workload.h"
#include "world.h"

enum { SECONDS_A_SEED = 60, MOST_FAILED = 20 };

static void run_here(uint64_t seed, bool trace, struct sim_report *report) {
    alarm(SECONDS_A_SEED); /* a loop without a point in it */
    sim_begin(seed, trace, report);
    scenario_run();
    sim_end();
}

static bool run(uint64_t seed, bool trace, struct sim_report *report) {
    pid_t child = fork();
    if (child == 0) {
        run_here(seed, trace, report);
        _exit(0);
    }
    int status;
    while (child < 0 || waitpid(child, &status, 0) < 0) {
        if (child < 0 || errno != EINTR) {
            perror("sim");
            exit(2);
        }
    }
    if (!report->failed && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
        report->failed = true;
        snprintf(report->text, sizeof(report->text), "ended by signal or status %#x", status);
    }
    return !report->failed;
}

struct choice {
    uint64_t from, count;
    bool trace, twice;
};

static void show(uint64_t seed, const struct sim_report *report) {
    printf("seed %llu: %s; hash %016llx, %llu points, %llu switches, %llu ms\n",
           (unsigned long long)seed, report->failed ? report->text : "good",
           (unsigned long long)report->hash, (unsigned long long)report->points,
           (unsigned long long)report->switches,
           (unsigned long long)(report->now_ns / 1000000 - (report->now_ns ? 1000 : 0)));
}

static bool run_one(const struct choice *choice, uint64_t seed, struct sim_report *report) {
    bool good = run(seed, choice->trace, report);
    uint64_t hash = report->hash;
    if (good && choice->twice) {
        good = run(seed, false, report);
        if (hash != report->hash) {
            report->failed = true;
            snprintf(report->text, sizeof(report->text), "two runs differ");
            good = false;
        }
    }
    return good;
}

static int run_all(const struct choice *choice, struct sim_report *report) {
    uint64_t bad = 0, points = 0, all = 0;
    uint64_t i;
    for (i = 0; i < choice->count && bad < MOST_FAILED; i++) {
        bool good = run_one(choice, choice->from + i, report);
        bad += !good;
        points += report->points;
        all = (all ^ report->hash) * 0x9e3779b97f4a7c15ull;
        if (!good || choice->count == 1) {
            show(choice->from + i, report);
            fflush(stdout);
        }
    }
    printf("%llu seeds, %llu failed, %llu points, hash %016llx\n", (unsigned long long)i,
           (unsigned long long)bad, (unsigned long long)points, (unsigned long long)all);
    return bad ? 1 : 0;
}

static bool read_number(const char *text, uint64_t *out) {
    char *end = NULL;
    errno = 0;
    *out = text ? strtoull(text, &end, 10) : 0;
    return text && *text >= '0' && *text <= '9' && !*end && errno == 0;
}

static bool read_choice(int count, char **words, struct choice *choice) {
    for (int i = 1; i < count; i++) {
        const char *next = i + 1 < count ? words[i + 1] : NULL;
        if (strcmp(words[i], "--trace") == 0) {
            choice->trace = true;
        } else if (strcmp(words[i], "--twice") == 0) {
            choice->twice = true;
        } else if (strcmp(words[i], "--seeds") == 0 && read_number(next, &choice->count)) {
            i++;
        } else if (strcmp(words[i], "--from") == 0 && read_number(next, &choice->from)) {
            i++;
        } else if (strcmp(words[i], "--seed") == 0 && read_number(next, &choice->from)) {
            choice->count = 1;
            i++;
        } else {
            return false;
        }
    }
    return choice->count > 0;
}

int main(int count, char **words) {
    struct choice choice = {.from = 1};
    if (!read_choice(count, words, &choice)) {
        fprintf(stderr, "usage: sim --seeds N [--from S] [--twice] | --seed X [--trace]\n");
        return 2;
    }
    struct sim_report *report =
        mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED) {
        perror("sim");
        return 2;
    }
    return run_all(&choice, report);
}

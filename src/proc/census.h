/* SPDX-License-Identifier: MIT */
/* A count of everybody by what they are called, for people. Any thread; takes no lock and stops
 * nobody, so it is a moment's truth that took a while. */
#ifndef RUSM__PROC_CENSUS_H
#define RUSM__PROC_CENSUS_H

#include <stddef.h>

#include "rusm/runtime.h"

struct rusm__census_visit {
    void (*label)(const char *text, size_t len,
                  void *arg); /* of a process with RUSM_SPAWN_LOGGED */
    void (*tag)(const char *text, size_t len, size_t members, void *arg);
    void *arg;
};

/* Part by part, each a read section of its own. The texts are valid during the call. */
void rusm__proc_census(rusm_runtime *rt, const struct rusm__census_visit *visit);

#endif

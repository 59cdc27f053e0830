/* SPDX-License-Identifier: MIT */
/* A world with a store of its own: a new file for every test, in a folder that goes with the
 * program. */
#ifndef RUSM_TEST_HOSTCALL_STORED_H
#define RUSM_TEST_HOSTCALL_STORED_H

#include "world.h"

#include <ftw.h>

#include "kv/kv.h"

static char stored_folder[] = "/tmp/rusm-test-stored-XXXXXX";
static struct rusm__kv *stored; /* the store of the test that runs */

static inline int stored_remove_one(const char *path, const struct stat *info, int kind,
                                    struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

static inline int stored_group_setup(void **state) {
    (void)state;
    return mkdtemp(stored_folder) ? 0 : -1;
}

static inline int stored_group_teardown(void **state) {
    (void)state;
    return nftw(stored_folder, stored_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline int stored_setup_with(void **state, struct world_options options) {
    struct rusm__kv_error error = {{0}};
    char path[128];
    static int number;
    snprintf(path, sizeof(path), "%s/%d.kv", stored_folder, number++);
    if (rusm__kv_open(path, NULL, &stored, &error) < 0)
        fail_msg("%s", error.text);
    options.store = stored;
    *state = world_open(&options);
    return 0;
}

static inline int stored_setup(void **state, uint64_t dynamic_ttl_ns) {
    return stored_setup_with(state, (struct world_options){.dynamic_ttl_ns = dynamic_ttl_ns});
}

static inline int stored_teardown(void **state) {
    world_close(*state);
    rusm__kv_close(stored);
    stored = NULL;
    return 0;
}

#endif

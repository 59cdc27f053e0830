/* SPDX-License-Identifier: MIT */
/* Programs of processes, as text: what the oracle runs here and on the BEAM. README.md describes
 * the format. One reader; everything is allocated at once and freed at once. */
#ifndef RUSM_TEST_ORACLE_PROGRAM_H
#define RUSM_TEST_ORACLE_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    MAX_ACTORS = 16,
    MAX_OPS = 256,
    MAX_MONITORS = 64,
    MAX_WORDS = 3,
    WORD_BYTES = 24,
};

struct op {
    char verb[WORD_BYTES];
    char words[MAX_WORDS][WORD_BYTES];
};

struct script {
    bool is_root; /* started by the runner, not by another process */
    bool is_lazy; /* takes its signals only where it waits */
    unsigned op_count;
    struct op ops[MAX_OPS];
};

struct program {
    unsigned id;
    unsigned count;
    struct script scripts[MAX_ACTORS];
};

/* Programs of a file, one after the other in *out_programs, which the caller frees. Returns how
 * many; 0 with a message on stderr if the text is wrong. */
size_t programs_read(FILE *file, struct program **out_programs);

#endif

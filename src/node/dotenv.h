/* SPDX-License-Identifier: MIT */
/* .env files: variables for guests, beside the real environment, which wins.
 *
 *   NAME=value            blanks around both are dropped; a value ends at " #" or at the line
 *   export NAME=value     the same
 *   NAME='as it is'       may span lines
 *   NAME="with \n \" \\ \$ and ${OTHER} or $OTHER"
 *
 * Parts may stand side by side (a'b'"c"). Outside single quotes $NAME and ${NAME} stand for the
 * real variable of that name, else for an earlier one of the file, else for nothing. Of two lines
 * with one name the first counts. The process' own environment is never changed.
 *
 * A table is filled on one thread and only read afterwards. */
#ifndef RUSM__NODE_DOTENV_H
#define RUSM__NODE_DOTENV_H

#include <stddef.h>

#include "rusm/export.h"

#include "base/arena.h"
#include "base/buf.h"

#define RUSM__DOTENV_MAX_BYTES       ((size_t)1 << 20) /* of a file */
#define RUSM__DOTENV_MAX_VALUE_BYTES ((size_t)1 << 16) /* of one value, expanded */

struct rusm__dotenv_entry;

struct rusm__dotenv {
    struct rusm__arena arena;
    struct rusm__dotenv_entry *entries; /* the latest; each knows the one before it */
    size_t count;
};

void rusm__dotenv_init(struct rusm__dotenv *env);
void rusm__dotenv_fini(struct rusm__dotenv *env);

/* Read a text. RUSM_ECONFIG with a line "invalid <path>:<line>: ..." for each bad one; the good
 * ones are kept. RUSM_ENOMEM. */
RUSM_MUST_USE int rusm__dotenv_parse(struct rusm__dotenv *env, const char *path, const char *text,
                                     size_t len, struct rusm__buf *error);

/* Read the nearest .env: in `root`, else in the folders above it. None is no error. As parse;
 * RUSM_ECONFIG also for one that cannot be read or is too large. */
RUSM_MUST_USE int rusm__dotenv_load(struct rusm__dotenv *env, const char *root,
                                    struct rusm__buf *error);

/* The variable: of the process, else of the file, else NULL. */
const char *rusm__dotenv_get(const struct rusm__dotenv *env, const char *name);

#endif

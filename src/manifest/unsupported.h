/* SPDX-License-Identifier: MIT */
/* The features that this release lacks, as a table; inside this folder only. */
#ifndef RUSM__MANIFEST_UNSUPPORTED_H
#define RUSM__MANIFEST_UNSUPPORTED_H

#include "manifest/keys.h"
#include "manifest/manifest.h"

struct rusm__feature {
    const struct rusm__key_set *set;  /* of which table */
    size_t key;                       /* the key that asks for it */
    const char *text;                 /* "... is not supported yet" */
    unsigned commands;                /* that need it */
    bool (*used)(const void *object); /* the table's struct */
};

const struct rusm__feature *rusm__feature_at(size_t index); /* NULL after the last */

#endif

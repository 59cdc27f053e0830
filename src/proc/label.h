/* SPDX-License-Identifier: MIT */
#ifndef RUSM__PROC_LABEL_H
#define RUSM__PROC_LABEL_H

#include <stddef.h>
#include <stdint.h>

#include "sync/qs.h"

/* What people call a process. Replaced as a whole, so that anybody may read it in a read section.
 */
struct rusm__label {
    struct rusm__qs_node qs; /* first */
    uint32_t len;
    char text[]; /* terminated */
};

struct rusm__label *rusm__label_new(const char *text, size_t len); /* cut at 255; NULL: no memory */

#endif

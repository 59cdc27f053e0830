/* SPDX-License-Identifier: MIT */
/* Files that a node reads whole at its start. */
#ifndef RUSM__NODE_FILE_H
#define RUSM__NODE_FILE_H

#include <stddef.h>

#include "rusm/export.h"

#include "base/buf.h"

/* Append the file's bytes to out. RUSM_ENOTFOUND: there is none. RUSM_EIO: the system refuses,
 * *out_errno says why; a folder is EISDIR. RUSM_ETOOBIG (EFBIG): more than max bytes. RUSM_ENOMEM.
 * Waits for the disk. */
RUSM_MUST_USE int rusm__file_read(const char *path, size_t max, struct rusm__buf *out,
                                  int *out_errno);

#endif

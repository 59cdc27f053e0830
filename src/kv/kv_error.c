/* SPDX-License-Identifier: MIT */
/* Texts for people: what was being done, and what the system said about it. */
#include "kv/kv_impl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "rusm/error.h"

int rusm__kv_fail(struct rusm__kv_error *error, int code, const char *format, ...) {
    if (error) {
        va_list args;
        va_start(args, format);
        vsnprintf(error->text, sizeof error->text, format, args);
        va_end(args);
    }
    return code;
}

static const char *cause_of(int mdb) {
    switch (mdb) {
    case ENOSPC:
        return "the disk is full";
    case EDQUOT:
        return "the disk quota is used up";
    case EFBIG:
        return "the file would pass the size limit of this process (ulimit -f)";
    case MDB_PANIC:
        return "an earlier write failed in a way that only a restart can repair";
    default:
        return mdb_strerror(mdb);
    }
}

int rusm__kv_fail_mdb(struct rusm__kv_error *error, const char *what, int mdb) {
    int code = mdb == ENOMEM ? RUSM_ENOMEM : mdb == MDB_READERS_FULL ? RUSM_ELIMIT : RUSM_EIO;
    return rusm__kv_fail(error, code, "%s failed: %s", what, cause_of(mdb));
}

/* Pages that a commit writes beside the data: the path to each key and the list of free pages. */
#define COMMIT_OVERHEAD (128u << 10)

int rusm__kv_find_cause(int mdb, int fd, size_t bytes) {
    struct stat file;
    struct rlimit limit;
    struct statvfs disk;
    uint64_t more = (uint64_t)bytes + COMMIT_OVERHEAD;
    if (mdb != EIO || fstat(fd, &file) < 0)
        return mdb;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        (uint64_t)file.st_size + more > limit.rlim_cur)
        return EFBIG;
    if (fstatvfs(fd, &disk) == 0 && disk.f_bavail * disk.f_frsize < more)
        return ENOSPC;
    return mdb;
}

/* SPDX-License-Identifier: MIT */
#include "node/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rusm/error.h"

/* A pipe or a device would be read for ever, or not at all. The size is only a hint. */
static int prepare(int fd, size_t max, struct rusm__buf *out) {
    struct stat info;
    if (fstat(fd, &info) != 0)
        return errno;
    if (S_ISDIR(info.st_mode))
        return EISDIR;
    if (!S_ISREG(info.st_mode))
        return EINVAL;
    if ((uintmax_t)info.st_size <= max)
        rusm__buf_reserve(out, (size_t)info.st_size + 1);
    return 0;
}

static int read_all(int fd, size_t max, struct rusm__buf *out, int *out_errno) {
    size_t start = out->len;
    for (;;) {
        if (!rusm__buf_reserve(out, 64 * 1024))
            return RUSM_ENOMEM;
        ssize_t got = read(fd, out->data + out->len, out->cap - out->len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            *out_errno = errno;
            return RUSM_EIO;
        }
        if (got == 0)
            return RUSM_OK;
        out->len += (size_t)got;
        if (out->len - start > max) {
            *out_errno = EFBIG;
            return RUSM_ETOOBIG;
        }
    }
}

int rusm__file_read(const char *path, size_t max, struct rusm__buf *out, int *out_errno) {
    *out_errno = 0;
    /* Not blocking: to open a pipe would wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        *out_errno = errno;
        return errno == ENOENT || errno == ENOTDIR ? RUSM_ENOTFOUND : RUSM_EIO;
    }
    *out_errno = prepare(fd, max, out);
    int code = *out_errno ? RUSM_EIO : read_all(fd, max, out, out_errno);
    close(fd);
    return code;
}

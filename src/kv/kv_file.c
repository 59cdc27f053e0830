/* SPDX-License-Identifier: MIT */
/* The file: its folder, and the lock that keeps other processes away.
 *
 * LMDB itself lets several processes share a file. We do not: the commit thread's promises, the
 * map's size and the waiting guests belong to one node. The lock is a flock on the data file, on
 * a descriptor of our own; the kernel drops it when the process ends, however it ends. LMDB locks
 * with fcntl on another file ("<path>-lock"), so the two do not meet. */
#include "kv/kv_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "rusm/error.h"

enum { LOCK_LINE = 256, PID_TEXT = 64, LOCK_RECORD = 64, LOCK_HEADER = 4096 };

/* ---- folders ---- */

/* The folder that path's last part is in: "." when there is no slash. */
static int folder_of(const char *path, char folder[PATH_MAX], struct rusm__kv_error *error) {
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (strlen(path) >= PATH_MAX - sizeof "-lock")
        return rusm__kv_fail(error, RUSM_EINVAL, "the path of the store is too long");
    memcpy(folder, path, len);
    folder[len] = '\0';
    if (!slash)
        strcpy(folder, ".");
    else if (len == 0)
        strcpy(folder, "/");
    return RUSM_OK;
}

int rusm__kv_sync_folder(const char *path, struct rusm__kv_error *error) {
    char folder[PATH_MAX];
    int result = folder_of(path, folder, error);
    if (result < 0)
        return result;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    if (failed && failed != EINVAL && failed != EACCES) /* not every file system can; not ours */
        return rusm__kv_fail(error, RUSM_EIO, "flushing the folder %.160s failed: %s", folder,
                             strerror(failed));
    return RUSM_OK;
}

static int make_one(const char *folder, struct rusm__kv_error *error) {
    if (mkdir(folder, 0777) < 0) {
        if (errno == EEXIST || errno == EISDIR)
            return RUSM_OK;
        return rusm__kv_fail(error, RUSM_EIO, "making the folder %.160s failed: %s", folder,
                             strerror(errno));
    }
    return rusm__kv_sync_folder(folder, error);
}

int rusm__kv_make_folder(const char *path, struct rusm__kv_error *error) {
    char folder[PATH_MAX];
    struct stat info;
    int result = folder_of(path, folder, error);
    if (result < 0 || (stat(folder, &info) == 0 && S_ISDIR(info.st_mode)))
        return result;
    for (char *slash = strchr(folder + 1, '/'); slash && result == RUSM_OK;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        result = make_one(folder, error);
        *slash = '/';
    }
    return result == RUSM_OK ? make_one(folder, error) : result;
}

/* ---- the lock ---- */

/* One line of /proc/locks: "7: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF". */
static bool holds_file(const char *line, const struct stat *file, long *out_pid) {
    unsigned major_number, minor_number;
    unsigned long inode;
    return sscanf(line, "%*d: FLOCK %*s %*s %ld %x:%x:%lu", out_pid, &major_number, &minor_number,
                  &inode) == 4 &&
           *out_pid > 0 && major(file->st_dev) == major_number &&
           minor(file->st_dev) == minor_number && file->st_ino == inode;
}

/* The process that holds a flock on the file; 0 when the kernel does not tell. */
static long find_holder(int fd) {
    struct stat file;
    char line[LOCK_LINE];
    long pid = 0;
    bool found = false;
    FILE *locks = fopen("/proc/locks", "re");
    if (locks && fstat(fd, &file) == 0)
        while (!found && fgets(line, sizeof line, locks))
            found = holds_file(line, &file, &pid);
    if (locks)
        fclose(locks);
    return found ? pid : 0;
}

static int fail_held(const char *path, int fd, struct rusm__kv_error *error) {
    long pid = find_holder(fd);
    char who[PID_TEXT] = "another process";
    if (pid == (long)getpid())
        strcpy(who, "this process");
    else if (pid > 0)
        snprintf(who, sizeof who, "process %ld", pid);
    return rusm__kv_fail(error, RUSM_EBUSY,
                         "opening the store at %.160s: %s holds it (is a node still running?)",
                         path, who);
}

int rusm__kv_lock_file(const char *path, int *out_fd, struct rusm__kv_error *error) {
    struct stat info;
    int result = RUSM_OK;
    *out_fd = -1;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
    if (fd < 0)
        return rusm__kv_fail(error, RUSM_EIO, "opening the store at %.160s failed: %s", path,
                             strerror(errno));
    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))
        result =
            rusm__kv_fail(error, RUSM_EIO, "opening the store at %.160s: it is not a file", path);
    else if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        result = errno == EWOULDBLOCK
                     ? fail_held(path, fd, error)
                     : rusm__kv_fail(error, RUSM_EIO, "locking the store at %.160s failed: %s",
                                     path, strerror(errno));
    if (result < 0)
        close(fd);
    else
        *out_fd = fd;
    return result;
}

/* LMDB takes one record of 64 bytes per reader and a header of a few of them; a file that is
 * larger than that only means more room for readers. */
int rusm__kv_reserve_lock_file(const char *path, unsigned max_readers,
                               struct rusm__kv_error *error) {
    char name[PATH_MAX];
    off_t bytes = (off_t)max_readers * LOCK_RECORD + LOCK_HEADER;
    snprintf(name, sizeof name, "%s-lock", path); /* fits: folder_of has looked */
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
    int failed = fd < 0 ? errno : posix_fallocate(fd, 0, bytes);
    if (fd >= 0)
        close(fd);
    return failed ? rusm__kv_fail_mdb(error, "making the store's lock file", failed) : RUSM_OK;
}

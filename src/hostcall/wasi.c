/* SPDX-License-Identifier: MIT */
/* What WASI refuses a guest, told to people. The engine says which operation and why; which line of
 * the manifest would help is said here. Runs on the guest's stack: short texts, in small buffers.
 */
#include "hostcall/hostcall_impl.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

#define CALL_MAX   64u
#define REMEDY_MAX 320u
#define FOLDER_MAX 96 /* bytes of one folder's name in a remedy; a longer one is not repeated */

#define SOME_FOLDER "`preopen = [{ host = \"<folder>\", guest = \"/\" }]`"

static const struct {
    enum rusm__refusal cause;
    const char *package;
} kinds[] = {
    [RUSM__WASI_HTTP] = {RUSM__REFUSED_HTTP, "wasi:http"},
    [RUSM__WASI_NETWORK] = {RUSM__REFUSED_NETWORK, "wasi:sockets"},
    [RUSM__WASI_LISTEN] = {RUSM__REFUSED_LISTEN, "wasi:sockets"},
    [RUSM__WASI_ASKED] = {RUSM__REFUSED_ASKED, "wasi:filesystem"},
    [RUSM__WASI_FOLDERS] = {RUSM__REFUSED_FOLDERS, "wasi:filesystem"},
    [RUSM__WASI_OUTSIDE] = {RUSM__REFUSED_OUTSIDE, "wasi:filesystem"},
    [RUSM__WASI_READ_ONLY] = {RUSM__REFUSED_READ_ONLY, "wasi:filesystem"},
    [RUSM__WASI_FILES] = {RUSM__REFUSED_FILES, "wasi"},
};

/* The only granted folder, if its names are short; NULL: the guest's operator has to choose. */
static const struct rusm__preopen *only_folder(const struct rusm__profile *profile) {
    if (profile->preopen_count != 1)
        return NULL;
    const struct rusm__preopen *folder = &profile->preopens[0];
    bool is_short = strnlen(folder->host_dir, FOLDER_MAX + 1) <= FOLDER_MAX &&
                    strnlen(folder->guest_dir, FOLDER_MAX + 1) <= FOLDER_MAX;
    return is_short ? folder : NULL;
}

static void say_writable(const struct rusm__profile *profile, char *out) {
    const struct rusm__preopen *folder = only_folder(profile);
    if (folder)
        snprintf(out, REMEDY_MAX,
                 "`preopen = [{ host = \"%s\", guest = \"%s\", read-only = false }]`",
                 folder->host_dir, folder->guest_dir);
    else
        snprintf(out, REMEDY_MAX, "`read-only = false` into that folder's entry of `preopen`");
}

static void say_remedy(const struct rusm__profile *profile, uint32_t why, char *out) {
    switch (why) {
    case RUSM__WASI_FOLDERS:
        snprintf(out, REMEDY_MAX, "%s", SOME_FOLDER);
        return;
    case RUSM__WASI_OUTSIDE:
        snprintf(out, REMEDY_MAX,
                 "`{ host = \"<its folder>\", guest = \"<name>\" }` into `preopen`");
        return;
    case RUSM__WASI_READ_ONLY:
        say_writable(profile, out);
        return;
    default:
        snprintf(out, REMEDY_MAX, "`allow-network = true`");
    }
}

/* For those who wonder why a guest opens nothing: what its own library refuses is not seen here. */
static void tell_of_asking(struct rusm__guest *guest, const char *call) {
    if (rusm__component_first_time(guest->component, RUSM__REFUSED_ASKED))
        rusm__log(RUSM__LOG_DEBUG, "rusm", "wasi",
                  "%s#%llu  %s: it has no folders; to grant one put " SOME_FOLDER
                  " under [capabilities.%s]",
                  rusm__component_name(guest->component), (unsigned long long)guest->pid, call,
                  guest->profile->name);
}

void rusm__guest_wasi_denied(struct rusm__guest *guest, uint32_t why, struct rusm__slice operation,
                             struct rusm__slice target) {
    char call[CALL_MAX], remedy[REMEDY_MAX];
    snprintf(call, sizeof(call), "%s %.*s", kinds[why].package, (int)operation.len,
             (const char *)operation.ptr);
    if (why == RUSM__WASI_LISTEN) {
        rusm__gate_never(guest, RUSM__REFUSED_LISTEN, call, target.ptr, target.len,
                         "guests connect, and no grant lets them listen");
    } else if (why == RUSM__WASI_FILES) {
        rusm__gate_never(guest, RUSM__REFUSED_FILES, call, target.ptr, target.len,
                         "guests hold three quarters of the files that the node may open; raise "
                         "the limit of open files (ulimit -n)");
    } else if (why == RUSM__WASI_ASKED) {
        tell_of_asking(guest, call);
    } else {
        say_remedy(guest->profile, why, remedy);
        rusm__gate_deny_call(guest, kinds[why].cause, call, target.ptr, target.len, remedy);
    }
}

/* SPDX-License-Identifier: MIT */
/* actor: processes. Names are in names.c, messages in mail.c, timers in timer.c. */
#include "hostcall/hostcall_impl.h"

#include <string.h>

#include "rusm/error.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "proc/proc.h"
#include "sandbox/lines.h"
#include "sandbox/reason.h"

#define MONITORS_MAX 65536u /* DOWNs that one guest can be owed */
#define NAME_IN_TEXT 128u   /* bytes of an unknown name that an error text repeats */

uint64_t rusm__actor_own_pid(struct rusm__guest *guest) {
    return guest->pid;
}

static bool controls(const struct rusm__guest *guest, rusm_pid target) {
    return target == guest->pid || guest->profile->process_control;
}

/* ---- spawn ---- */

static void spawn_error(struct rusm__bytes *out_error, const char *before, struct rusm__slice name,
                        const char *after) {
    struct rusm__buf text;
    rusm__buf_init(&text);
    rusm__buf_add_str(&text, before);
    rusm__buf_add(&text, name.ptr,
                  name.len <= NAME_IN_TEXT ? name.len : rusm__utf8_good(name.ptr, NAME_IN_TEXT));
    rusm__buf_add_str(&text, after);
    *out_error = rusm__bytes_take(&text);
}

struct rusm__component *rusm__actor_find(struct rusm__guest *guest, struct rusm__slice name,
                                         const char *if_template, struct rusm__bytes *out_error) {
    const struct rusm__registration *found =
        rusm__registered_find(&rusm__hostcall_of(guest)->registered, name.ptr, name.len);
    if (!found)
        spawn_error(out_error, "unknown component `", name, "`");
    else if (!found->component)
        spawn_error(out_error, "`", name, if_template);
    return found ? found->component : NULL;
}

static uint32_t spawn_failed(struct rusm__guest *guest, const struct rusm__component *component,
                             int code, struct rusm__bytes *out_error) {
    struct rusm__buf text;
    rusm__buf_init(&text);
    rusm__buf_addf(&text, "cannot spawn `%s`: ", rusm__component_name(component));
    rusm__component_explain(component, code, guest, &text);
    if (code == RUSM_ELIMIT)
        rusm__gate_limit(guest, RUSM__REFUSED_CHILD, text.data, text.len);
    *out_error = rusm__bytes_take(&text);
    return RUSM__CALL_NONE;
}

uint32_t rusm__actor_spawn_found(struct rusm__guest *guest, struct rusm__component *component,
                                 uint64_t *out_pid, struct rusm__bytes *out_error) {
    struct rusm__component_spawn options = {.parent = guest};
    int code = rusm__component_spawn(component, &options, out_pid);
    return code < 0 ? spawn_failed(guest, component, code, out_error) : RUSM__CALL_OK;
}

uint32_t rusm__actor_spawn(struct rusm__guest *guest, struct rusm__slice component,
                           uint64_t *out_pid, struct rusm__bytes *out_error) {
    if (!guest->profile->spawn) {
        rusm__gate_deny(guest, RUSM__REFUSED_SPAWN, component.ptr, component.len);
        *out_error = rusm__bytes_static("spawn denied: missing the spawn capability");
        return RUSM__CALL_NONE;
    }
    struct rusm__component *found = rusm__actor_find(
        guest, component,
        "` is a dynamic runner template — spawn it with spawn-from(component, source)", out_error);
    return found ? rusm__actor_spawn_found(guest, found, out_pid, out_error) : RUSM__CALL_NONE;
}

/* ---- looking at processes ---- */

uint32_t rusm__actor_list_processes(struct rusm__guest *guest, const uint64_t **out_pids,
                                    size_t *out_count, void **out_owner) {
    *out_pids = &guest->pid;
    *out_count = 1;
    *out_owner = NULL;
    if (!guest->profile->process_control) {
        rusm__gate_deny(guest, RUSM__REFUSED_LIST, "all", 3);
        return RUSM__CALL_OK;
    }
    /* Room for a few that start meanwhile; more than that are left out, as they might have been. */
    size_t cap = rusm_runtime_process_count(rusm__runtime_of(guest)) + 64;
    rusm_pid *pids = rusm__mem_try_alloc(cap * sizeof(*pids));
    if (!pids)
        return rusm__hostcall_trap(guest, "no memory for a list of %zu processes", cap);
    size_t count = rusm_pid_list(rusm__runtime_of(guest), pids, cap);
    *out_pids = pids;
    *out_count = count < cap ? count : cap;
    *out_owner = pids;
    return RUSM__CALL_OK;
}

static size_t info_bytes(const rusm_proc_info *info) {
    size_t bytes = info->name_count * sizeof(struct rusm__slice) + 1;
    bytes += info->label ? strlen(info->label) : 0;
    for (size_t i = 0; i < info->name_count; i++)
        bytes += strlen(info->names[i]);
    return bytes;
}

static struct rusm__slice put_text(unsigned char **at, const char *text) {
    struct rusm__slice slice = {*at, strlen(text)};
    memcpy(*at, text, slice.len);
    *at += slice.len;
    return slice;
}

/* One block: the slices of the names, then all texts. */
static bool fill_info(const rusm_proc_info *info, struct rusm__process_info *out) {
    struct rusm__slice *names = rusm__mem_try_alloc(info_bytes(info));
    if (!names)
        return false;
    unsigned char *text = (unsigned char *)(names + info->name_count);
    *out = (struct rusm__process_info){
        .pid = info->pid,
        .links = info->links,
        .monitors = info->monitors,
        .mailbox_depth = info->mailbox_depth,
        .trap_exit = info->trap_exit,
        .has_label = info->label != NULL,
        .names = names,
        .name_count = info->name_count,
        .owner = names,
    };
    out->label = put_text(&text, info->label ? info->label : "");
    for (size_t i = 0; i < info->name_count; i++)
        names[i] = put_text(&text, info->names[i]);
    return true;
}

uint32_t rusm__actor_info(struct rusm__guest *guest, uint64_t pid,
                          struct rusm__process_info *out_info) {
    if (!controls(guest, pid)) {
        rusm__gate_deny_pid(guest, RUSM__REFUSED_INFO, pid);
        return RUSM__CALL_NONE;
    }
    rusm_proc_info *info = NULL;
    int code = rusm_pid_info(rusm__runtime_of(guest), pid, &info);
    if (code == RUSM_ENOPROC)
        return RUSM__CALL_NONE;
    bool filled = code == RUSM_OK && fill_info(info, out_info);
    if (code == RUSM_OK)
        rusm_proc_info_free(info);
    return filled ? RUSM__CALL_OK : rusm__hostcall_trap(guest, "no memory for process information");
}

uint32_t rusm__actor_is_alive(struct rusm__guest *guest, uint64_t pid) {
    if (controls(guest, pid))
        return rusm_pid_is_alive(rusm__runtime_of(guest), pid);
    rusm__gate_deny_pid(guest, RUSM__REFUSED_IS_ALIVE, pid);
    return 0;
}

uint32_t rusm__actor_kill(struct rusm__guest *guest, uint64_t pid) {
    if (!controls(guest, pid)) {
        rusm__gate_deny_pid(guest, RUSM__REFUSED_KILL, pid);
        return 0;
    }
    bool killed = rusm__guests_kill(rusm__runtime_of(guest), pid);
    if (killed)
        rusm__line_kill(pid);
    else if (rusm_pid_is_alive(rusm__runtime_of(guest), pid))
        rusm__gate_deny_own(guest, pid);
    return killed;
}

/* The ABI has no answer for this call, so a guest that cannot be told of a death any more ends: it
 * would wait for that message for ever. */
static void end_owed_guest(struct rusm__guest *guest, const char *text) {
    int code = rusm_pid_exit(rusm__runtime_of(guest), guest->pid, RUSM_EXIT_CRASHED, text);
    if (code == RUSM_ENOMEM)
        (void)rusm_pid_kill(rusm__runtime_of(guest), guest->pid);
}

/* Whoever handles a connection learns of its end by the end of its writer, whatever it may do
 * otherwise. */
static bool may_monitor(const struct rusm__guest *guest, rusm_pid target) {
    return guest->profile->spawn || guest->profile->process_control ||
           (guest->writer && target == guest->writer);
}

void rusm__actor_monitor(struct rusm__guest *guest, uint64_t target) {
    struct rusm__calls *calls = rusm__calls_of(guest);
    uint64_t ref;
    if (!may_monitor(guest, target))
        rusm__gate_deny_pid(guest, RUSM__REFUSED_MONITOR, target);
    else if (calls->monitors >= MONITORS_MAX)
        end_owed_guest(guest, "more than 65536 monitors whose processes still live");
    else if (!rusm__ledger_fits(guest, RUSM__WEIGHT_MONITOR))
        end_owed_guest(guest, RUSM__REASON_MEMORY ": no more monitors fit into `max-host-mb`");
    else if (rusm_proc_monitor(guest->proc, target, &ref) < 0)
        end_owed_guest(guest, "no memory for a monitor");
    else
        calls->monitors++;
}

/* SPDX-License-Identifier: MIT */
/* Components: from [components.<name>] and ./wasm/<name>.wasm to something that can be spawned. */
#include "node/node_impl.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rusm/error.h"

#include "base/log.h"
#include "base/utf8.h"
#include "node/file.h"

#define MAX_ARTEFACT_BYTES ((size_t)256 << 20)

/* ---- the profile ---- */

/* What guests see of the environment is text. */
static int check_value(rusm_node *node, const struct rusm__member *member, const char *name,
                       const char *value) {
    if (rusm__utf8_is_valid(value, strlen(value)))
        return RUSM_OK;
    rusm__node_fail(node,
                    "component `%s`: the value of %s in the environment is not UTF-8; set it to a "
                    "text, or take it out of `env` under [capabilities.%s]",
                    member->declared->name, name, member->profile.name);
    return RUSM_ECONFIG;
}

/* A granted name that has no value is left out: that is what the guest sees, and the log says so.
 */
static int fill_env(rusm_node *node, struct rusm__member *member) {
    const struct rusm__strings *names = &member->declared->profile->env;
    struct rusm__env *env = rusm__arena_try_array(&node->arena, names->count, sizeof(*env));
    if (!env)
        return names->count == 0 ? RUSM_OK : RUSM_ENOMEM;
    size_t count = 0;
    int code = RUSM_OK;
    for (size_t i = 0; i < names->count && code == RUSM_OK; i++) {
        const char *value = rusm__dotenv_get(&node->env, names->items[i]);
        if (!value) {
            rusm__log(RUSM__LOG_WARN, "rusm", "env", "%s: %s is granted and not set",
                      member->declared->name, names->items[i]);
            continue;
        }
        env[count++] = (struct rusm__env){names->items[i], value};
        code = check_value(node, member, names->items[i], value);
    }
    member->profile.env = env;
    member->profile.env_count = count;
    return code;
}

/* A folder that is not there is the guest's trouble when it starts, not the node's
 * (spec/manifest.md section 7): it may be made later. It is said here, where somebody is looking.
 */
static void check_folder(const struct rusm__profile *profile, const char *folder) {
    struct stat info;
    int cause = stat(folder, &info) != 0 ? errno : S_ISDIR(info.st_mode) ? 0 : ENOTDIR;
    if (cause)
        rusm__log(RUSM__LOG_WARN, "rusm", "preopen",
                  "[capabilities.%s]: reading %s: %s; guests under it crash until it is there",
                  profile->name, folder, strerror(cause));
}

static int fill_preopens(rusm_node *node, struct rusm__member *member) {
    const struct rusm__manifest_profile *profile = member->declared->profile;
    size_t count = profile->preopen_count;
    struct rusm__preopen *opened = rusm__arena_try_array(&node->arena, count, sizeof(*opened));
    if (!opened)
        return count == 0 ? RUSM_OK : RUSM_ENOMEM;
    int code = RUSM_OK;
    for (size_t i = 0; i < count && code == RUSM_OK; i++) {
        const struct rusm__manifest_preopen *from = &profile->preopens[i];
        const char *folder = rusm__node_path(node, from->host);
        opened[i] = (struct rusm__preopen){folder, from->guest, from->read_only};
        if (folder)
            check_folder(&member->profile, folder);
        else
            code = RUSM_ENOMEM;
    }
    member->profile.preopens = opened;
    member->profile.preopen_count = count;
    return code;
}

static rusm_mailbox_policy policy_of(enum rusm__mailbox_policy policy) {
    switch (policy) {
    case RUSM__MAILBOX_REFUSE:
        return RUSM_MAILBOX_REFUSE;
    case RUSM__MAILBOX_DROP_OLDEST:
        return RUSM_MAILBOX_DROP_OLDEST;
    case RUSM__MAILBOX_BLOCK_SENDER:
        return RUSM_MAILBOX_BLOCK_SENDER;
    case RUSM__MAILBOX_EXIT:
        return RUSM_MAILBOX_EXIT;
    }
    return RUSM_MAILBOX_DEFAULT;
}

/* A bridge that this program does not have is no grant that could be kept. */
static int find_bridge(rusm_node *node, const struct rusm__profile *profile, const char *name,
                       uint64_t *out_bit) {
    for (size_t i = 0; i < node->bridge_count; i++) {
        if (strcmp(node->bridges[i].name, name) == 0) {
            *out_bit = (uint64_t)1 << i;
            return RUSM_OK;
        }
    }
    rusm__node_fail(node,
                    "[capabilities.%s]: `bridges` names `%s`, and this program has no such bridge; "
                    "a program that embeds the node registers it (rusm_node_options.bridges)",
                    profile->name, name);
    return RUSM_ENOTSUP;
}

static int fill_bridges(rusm_node *node, struct rusm__member *member) {
    const struct rusm__manifest_profile *from = member->declared->profile;
    const char *names = NULL;
    int code = RUSM_OK;
    for (size_t i = 0; i < from->bridges.count && code == RUSM_OK; i++) {
        const char *name = from->bridges.items[i];
        uint64_t bit = 0;
        code = find_bridge(node, &member->profile, name, &bit);
        member->profile.bridges |= bit;
        names = rusm__arena_try_printf(&node->arena, "%s%s%s", names ? names : "", names ? "," : "",
                                       name);
        if (code == RUSM_OK && !names)
            code = RUSM_ENOMEM;
    }
    member->profile.bridge_names = names;
    return code;
}

/* A limit that the file sets holds for requests too. */
static uint64_t for_requests(const struct rusm__manifest_profile *profile,
                             enum rusm__capability_key key, uint64_t set, uint64_t otherwise) {
    return profile->at[key].line != 0 ? set : otherwise;
}

/* As the file has to say it: texts tell people which line to put where, and a name with a dot would
 * be two tables of the file without its quotes. */
static const char *key_of(rusm_node *node, const char *name) {
    return strchr(name, '.') ? rusm__arena_try_printf(&node->arena, "\"%s\"", name) : name;
}

static int fill_profile(rusm_node *node, struct rusm__member *member) {
    const struct rusm__manifest_profile *from = member->declared->profile;
    const struct rusm__limits *limits = &from->limits;
    member->profile = (struct rusm__profile){
        .name = key_of(node, from->name),
        .limits_of = from->limits_of ? key_of(node, from->limits_of) : NULL,
        .network = from->network,
        .spawn = from->spawn,
        .process_control = from->process_control,
        .stdio = from->stdio,
        .storage = from->storage,
        .url_local_hosts = (const char *const *)from->url_local_hosts.items,
        .url_local_host_count = from->url_local_hosts.count,
        .max_memory_bytes = (uint64_t)limits->max_memory_mb << 20,
        .max_message_bytes = limits->max_message_bytes,
        .cpu_ms = limits->cpu_ms,
        .request_cpu_ms =
            for_requests(from, RUSM__CAPABILITY_CPU_MS, limits->cpu_ms, RUSM__REQUEST_CPU_MS),
        .deadline_ms = limits->deadline_ms,
        .request_deadline_ms = for_requests(from, RUSM__CAPABILITY_DEADLINE_MS, limits->deadline_ms,
                                            RUSM__REQUEST_DEADLINE_MS),
        .max_host_bytes = (uint64_t)limits->max_host_mb << 20,
        .mailbox_messages = limits->mailbox_messages,
        .mailbox_bytes = limits->mailbox_bytes,
        .mailbox_policy = policy_of(limits->mailbox_policy),
        .max_children = limits->max_children,
        .max_names = limits->max_names,
        .max_timers = limits->max_timers,
        .max_streams = limits->max_streams,
    };
    bool named = member->profile.name && (member->profile.limits_of || !from->limits_of);
    int code = named ? fill_env(node, member) : RUSM_ENOMEM;
    if (code == RUSM_OK)
        code = fill_preopens(node, member);
    return code == RUSM_OK ? fill_bridges(node, member) : code;
}

/* ---- the artefact ---- */

/* Bundles of JavaScript come first where both exist, so one of them is what the app means. */
static int refuse_javascript(rusm_node *node, const char *name) {
    static const char *const endings[] = {".qjsbc", ".js"};
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        const char *path =
            rusm__arena_try_printf(&node->arena, "%s/wasm/%s%s", node->root, name, endings[i]);
        if (!path)
            return RUSM_ENOMEM;
        if (access(path, F_OK) == 0) {
            rusm__node_fail(node, "component `%s`: JavaScript (%s) is not supported yet", name,
                            path);
            return RUSM_EGUEST;
        }
    }
    return RUSM_OK;
}

static int read_artefact(rusm_node *node, const char *path, struct rusm__buf *wasm) {
    int cause;
    int code = rusm__file_read(path, MAX_ARTEFACT_BYTES, wasm, &cause);
    if (code == RUSM_OK || code == RUSM_ENOMEM)
        return code;
    if (code == RUSM_ETOOBIG)
        rusm__node_fail(node, "reading %s: larger than %zu MiB", path, MAX_ARTEFACT_BYTES >> 20);
    else
        rusm__node_fail(node, "reading %s (run `rusm build`?): %s", path, strerror(cause));
    return RUSM_EGUEST;
}

/* The entry is said only where the manifest says it; otherwise the exports decide. */
static const char *entry_of(const struct rusm__manifest_component *declared) {
    return declared->at[RUSM__COMPONENT_ENTRY].line != 0 ? declared->entry : NULL;
}

static int load_bytes(rusm_node *node, struct rusm__member *member, const char *path,
                      const struct rusm__buf *wasm) {
    struct rusm__component_options options = {
        .name = member->declared->name,
        .entry = entry_of(member->declared),
        .profile = &member->profile,
        .origin = path,
    };
    struct rusm__buf why;
    rusm__buf_init(&why);
    int code = rusm__component_load(node->sandbox, wasm->data, wasm->len, &options,
                                    &member->component, &why);
    if (code < 0)
        rusm__node_fail(node, "%s", why.len ? rusm__buf_cstr(&why) : rusm_error_text(code));
    rusm__buf_fini(&why);
    return code;
}

static int load_wasm(rusm_node *node, struct rusm__member *member) {
    const char *path =
        rusm__arena_try_printf(&node->arena, "%s/wasm/%s.wasm", node->root, member->declared->name);
    if (!path)
        return RUSM_ENOMEM;
    struct rusm__buf wasm;
    rusm__buf_init(&wasm);
    int code = read_artefact(node, path, &wasm);
    if (code == RUSM_OK)
        code = load_bytes(node, member, path, &wasm);
    rusm__buf_fini(&wasm);
    return code;
}

/* ---- all of them ---- */

static int add_template(rusm_node *node, const struct rusm__member *member) {
    const struct rusm__manifest_component *declared = member->declared;
    struct rusm__template_options options = {
        .name = declared->name,
        .entry = entry_of(declared),
        .is_command = declared->dynamic == RUSM__DYNAMIC_WASI_CLI,
        .profile = &member->profile,
    };
    int code = rusm__hostcall_add_template(node->hostcall, node->sandbox, &options);
    if (code < 0)
        rusm__node_fail(node, "component `%s`: %s", declared->name, rusm_error_text(code));
    return code;
}

static int load_member(rusm_node *node, struct rusm__member *member) {
    int code = fill_profile(node, member);
    if (code == RUSM_OK && member->declared->dynamic != RUSM__DYNAMIC_NONE)
        return add_template(node, member);
    if (code == RUSM_OK)
        code = refuse_javascript(node, member->declared->name);
    if (code == RUSM_OK)
        code = load_wasm(node, member);
    if (code == RUSM_OK)
        code = rusm__hostcall_add(node->hostcall, member->component);
    return code;
}

int rusm__node_load_members(rusm_node *node) {
    const struct rusm__manifest *manifest = node->manifest;
    size_t count = manifest->component_count;
    node->members = rusm__arena_try_array(&node->arena, count, sizeof(*node->members));
    if (!node->members)
        return count == 0 ? RUSM_OK : RUSM_ENOMEM;
    node->member_count = count;
    int worst = RUSM_OK;
    for (size_t i = 0; i < count; i++) {
        node->members[i].declared = &manifest->components[i];
        int code = load_member(node, &node->members[i]);
        if (code == RUSM_ENOMEM)
            return code;
        if (code < 0)
            worst = code; /* go on: every artefact that is wrong is reported in one go */
    }
    return worst;
}

const struct rusm__member *rusm__node_find_member(const rusm_node *node, const char *name) {
    for (size_t i = 0; i < node->member_count; i++) {
        if (strcmp(node->members[i].declared->name, name) == 0)
            return &node->members[i];
    }
    return NULL;
}

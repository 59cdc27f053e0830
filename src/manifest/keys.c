/* SPDX-License-Identifier: MIT */
/* Every key of rusm.toml: its type, range, words and default, and what the manual says of it.
 *
 * The order of a table's keys is that of its enum in manifest.h. A key that is not here does not
 * exist; docs/manifest.md is printed from here (test_reference.c compares them). */
#include "manifest/keys.h"

#include <string.h>

#include "base/str.h"
#include "manifest/reader.h"

#define FIELD(type, member)                                                                        \
    .offset = offsetof(struct type, member), .width = sizeof(((struct type *)0)->member)
#define SET(heading, table, type, gone)                                                            \
    {.title = (heading),                                                                           \
     .keys = (table),                                                                              \
     .count = sizeof(table) / sizeof((table)[0]),                                                  \
     .at_offset = offsetof(struct type, at),                                                       \
     .removed = (gone)}

enum {
    NODES = RUSM__FOR_RUN | RUSM__FOR_SERVE | RUSM__FOR_DEV | RUSM__FOR_NODE_START,
    LISTENING = RUSM__FOR_SERVE | RUSM__FOR_DEV,
    ALL = NODES | RUSM__FOR_KV | RUSM__FOR_BUILD,
    TEXT_MAX = RUSM__MANIFEST_TEXT_MAX,
    NAME_MAX_BYTES = RUSM__MANIFEST_NAME_MAX,
    HOST_PORT_MAX = 300,
    WORD_MAX = 64,
};

#define UP_TO_A_WEEK_MS INT64_C(604800000)
#define GIB             INT64_C(1073741824)

/* ---- words ---- */

const struct rusm__word rusm__protocol_words[] = {
    {"http", RUSM__PROTOCOL_HTTP},
    {"sse", RUSM__PROTOCOL_SSE},
    {"ws", RUSM__PROTOCOL_WS},
    {NULL, 0},
};

const struct rusm__word rusm__mailbox_policy_words[] = {
    {"refuse", RUSM__MAILBOX_REFUSE},
    {"drop-oldest", RUSM__MAILBOX_DROP_OLDEST},
    {"block-sender", RUSM__MAILBOX_BLOCK_SENDER},
    {"exit", RUSM__MAILBOX_EXIT},
    {NULL, 0},
};

static const struct rusm__word node_profile_words[] = {
    {"light", RUSM__NODE_PROFILE_LIGHT},
    {"balanced", RUSM__NODE_PROFILE_BALANCED},
    {"max", RUSM__NODE_PROFILE_MAX},
    {NULL, 0},
};

static const struct rusm__word restart_words[] = {
    {"permanent", RUSM__RESTART_PERMANENT},
    {"transient", RUSM__RESTART_TRANSIENT},
    {"temporary", RUSM__RESTART_TEMPORARY},
    {NULL, 0},
};

/* `inherits` is kept as the profile's name: the base itself is chosen before the key is read. */
static void take_inherits(struct rusm__reader *reader, const struct rusm__slot *slot,
                          const struct rusm__toml *value);

const char *rusm__word_text(const struct rusm__word *words, int value) {
    for (; words->text != NULL; words++) {
        if (words->value == value) {
            return words->text;
        }
    }
    return NULL;
}

bool rusm__word_find(const struct rusm__word *words, const char *text, size_t len, int *out_value) {
    for (; words->text != NULL; words++) {
        if (rusm__str_is(text, len, words->text)) {
            if (out_value != NULL) {
                *out_value = words->value;
            }
            return true;
        }
    }
    return false;
}

/* ---- the top level ---- */

static const struct rusm__key root[RUSM__ROOT_KEYS] = {
    {.name = "node", .type = RUSM__KEY_TABLE, .used_by = ALL, .meaning = "The node itself."},
    {.name = "log", .type = RUSM__KEY_TABLE, .used_by = NODES, .meaning = "The log."},
    {.name = "serve",
     .type = RUSM__KEY_TABLES,
     .used_by = LISTENING,
     .meaning = "Listeners, at most 256."},
    {.name = "capabilities",
     .type = RUSM__KEY_MAP,
     .used_by = NODES | RUSM__FOR_BUILD,
     .meaning = "Profiles: what components may do and how much they may take."},
    {.name = "components",
     .type = RUSM__KEY_MAP,
     .used_by = NODES,
     .meaning = "Components that can be spawned by name."},
};

static const struct rusm__removed_key root_removed[] = {
    {"routes", "routes belong to a listener, as [serve.routes] below its [[serve]]"},
    {"listen", "it belongs in [node]"},
    {"profile", "it belongs in [node]"},
    {"ticks_per_second", "it belongs in [node]"},
    {"store", "it belongs in [node]"},
    {"dynamic_wasm_ttl_secs", "it belongs in [node]"},
    {NULL, NULL},
};

const struct rusm__key_set rusm__root_keys =
    SET("the top level", root, rusm__root_places, root_removed);

/* ---- [node], [log] ---- */

static const struct rusm__key node[] = {
    [RUSM__NODE_LISTEN] = {.name = "listen",
                           .type = RUSM__KEY_STRING,
                           FIELD(rusm__manifest_node, listen),
                           .max = HOST_PORT_MAX,
                           .take = rusm__take_address,
                           .fallback = "127.0.0.1:4000",
                           .used_by = RUSM__FOR_NODE_START,
                           .meaning = "`host:port` of the attach endpoint; never a serving port."},
    [RUSM__NODE_PROFILE] =
        {.name = "profile",
         .type = RUSM__KEY_WORD,
         FIELD(rusm__manifest_node, profile),
         .words = node_profile_words,
         .fallback = "balanced",
         .used_by = RUSM__FOR_NODE_START,
         .meaning = "How many of the cores a benchmark node takes: a quarter, two fifths, half."},
    [RUSM__NODE_TICKS_PER_SECOND] =
        {.name = "ticks_per_second",
         .type = RUSM__KEY_INTEGER,
         FIELD(rusm__manifest_node, ticks_per_second),
         .min = 1,
         .max = 1000,
         .fallback = "20",
         .used_by = RUSM__FOR_NODE_START,
         .meaning = "Snapshots per second for attached observers; 10 to 60 is sensible."},
    [RUSM__NODE_STORE] =
        {.name = "store",
         .type = RUSM__KEY_STRING,
         FIELD(rusm__manifest_node, store),
         .max = TEXT_MAX,
         .take = rusm__take_text,
         .used_by = NODES | RUSM__FOR_KV,
         .standard = "none",
         .meaning = "Path of the durable key-value store, relative to the app's folder. Without "
                    "it the app has no store."},
    [RUSM__NODE_DYNAMIC_WASM_TTL_SECS] =
        {.name = "dynamic_wasm_ttl_secs",
         .type = RUSM__KEY_INTEGER,
         FIELD(rusm__manifest_node, dynamic_wasm_ttl_secs),
         .min = 0,
         .max = 31536000,
         .fallback = "300",
         .used_by = NODES,
         .meaning = "How long a dynamic component counts as fresh, and how long it is kept unused; "
                    "0 keeps nothing."},
};

const struct rusm__key_set rusm__node_keys = SET("[node]", node, rusm__manifest_node, NULL);

static const struct rusm__key log_table[] = {
    [RUSM__LOG_LEVEL] =
        {.name = "level",
         .type = RUSM__KEY_STRING,
         FIELD(rusm__manifest_log, level),
         .max = WORD_MAX,
         .take = rusm__take_level,
         .fallback = "off",
         .used_by = NODES,
         .meaning = "`off`, `error`, `warn`, `info` or `debug`, in any case; `warning` means "
                    "`warn`, `trace` means `debug`. One gate for lifecycle lines, guests' lines "
                    "and access lines."},
};

const struct rusm__key_set rusm__log_keys = SET("[log]", log_table, rusm__manifest_log, NULL);

/* ---- [[serve]] ---- */

static const struct rusm__key serve[] = {
    [RUSM__SERVE_PROTOCOL] = {.name = "protocol",
                              .type = RUSM__KEY_WORD,
                              .required = true,
                              FIELD(rusm__manifest_listener, protocol),
                              .words = rusm__protocol_words,
                              .used_by = LISTENING,
                              .meaning = "What the listener speaks."},
    [RUSM__SERVE_LISTEN] =
        {.name = "listen",
         .type = RUSM__KEY_STRING,
         .required = true,
         FIELD(rusm__manifest_listener, listen),
         .max = HOST_PORT_MAX,
         .take = rusm__take_address,
         .used_by = LISTENING,
         .meaning = "`host:port`; the host is an IPv4 address, an IPv6 address in brackets, or a "
                    "name. Port 0 lets the system choose. No two listeners may claim one port."},
    [RUSM__SERVE_COMPONENT] =
        {.name = "component",
         .type = RUSM__KEY_STRING,
         FIELD(rusm__manifest_listener, component),
         .max = NAME_MAX_BYTES,
         .take = rusm__take_name,
         .used_by = LISTENING,
         .standard = "none",
         .meaning = "The handler of a listener without routes, from `./wasm`. It need not be in "
                    "[components]; then it runs as `sandboxed`. With routes: the name to print."},
    [RUSM__SERVE_SOURCE] =
        {.name = "source",
         .type = RUSM__KEY_STRING,
         FIELD(rusm__manifest_listener, source),
         .max = TEXT_MAX,
         .take = rusm__take_source,
         .used_by = LISTENING,
         .standard = "none",
         .meaning = "Where the handler of a listener without routes comes from instead of "
                    "`./wasm`; see *Sources*."},
    [RUSM__SERVE_ROUTES] = {.name = "routes",
                            .type = RUSM__KEY_MAP,
                            .used_by = LISTENING,
                            .standard = "none",
                            .meaning = "`\"METHOD /path\" = \"target\"`; see *Routes*."},
    [RUSM__SERVE_HEADERS] =
        {.name = "headers",
         .type = RUSM__KEY_MAP,
         .used_by = LISTENING,
         .standard = "none",
         .meaning = "`name = \"value\"`: put into every answer of an `http` listener and into the "
                    "200 of an `sse` listener; see *Headers*."},
    [RUSM__SERVE_TLS] = {.name = "tls",
                         .type = RUSM__KEY_TABLE,
                         .used_by = LISTENING,
                         .standard = "none",
                         .meaning = "Serve over TLS; see [serve.tls]."},
    [RUSM__SERVE_SUBPROTOCOLS] =
        {.name = "subprotocols",
         .type = RUSM__KEY_STRINGS,
         FIELD(rusm__manifest_listener, subprotocols),
         .max = 256,
         .take = rusm__take_protocol,
         .used_by = LISTENING,
         .standard = "`[]`",
         .meaning = "`ws` only: the first of the client's offers that is listed here is taken."},
    [RUSM__SERVE_MAX_CONNECTIONS] =
        {.name = "max_connections",
         .type = RUSM__KEY_INTEGER,
         FIELD(rusm__manifest_listener, max_connections),
         .min = 1,
         .max = UINT32_MAX,
         .used_by = LISTENING,
         .standard = "no limit",
         .meaning = "Connections open at once; one more is closed without a byte."},
    [RUSM__SERVE_MAX_MESSAGE_SIZE] =
        {.name = "max_message_size",
         .type = RUSM__KEY_INTEGER,
         FIELD(rusm__manifest_listener, max_message_size),
         .min = 1,
         .max = GIB,
         .used_by = LISTENING,
         .standard = "no limit",
         .meaning = "`ws` only: bytes of a frame, of a message, and of what it inflates to."},
    [RUSM__SERVE_ALLOWED_ORIGINS] =
        {.name = "allowed_origins",
         .type = RUSM__KEY_STRINGS,
         FIELD(rusm__manifest_listener, allowed_origins),
         .max = 512,
         .take = rusm__take_origin,
         .used_by = LISTENING,
         .standard = "`[]`: any",
         .meaning = "`ws` only: the `Origin` headers that are let in, compared byte for byte."},
    [RUSM__SERVE_COMPRESSION] =
        {.name = "compression",
         .type = RUSM__KEY_BOOLEAN,
         FIELD(rusm__manifest_listener, compression),
         .fallback = "false",
         .used_by = LISTENING,
         .meaning = "gzip for `http` with routes and `sse`, permessage-deflate for `ws`."},
    [RUSM__SERVE_AUTHENTICATION] = {.name = "authentication",
                                    .type = RUSM__KEY_STRING,
                                    FIELD(rusm__manifest_listener, authentication),
                                    .max = NAME_MAX_BYTES,
                                    .take = rusm__take_name,
                                    .used_by = LISTENING,
                                    .standard = "none",
                                    .meaning = "Name of the hook in `auth/` that every request "
                                               "has to pass."},
};

static const struct rusm__removed_key serve_removed[] = {
    {"name", "a listener is named after its `component`"},
    {"mode", "every request and every connection has a process of its own"},
    {"instances", "every request and every connection has a process of its own"},
    {"shard_by", "what requests share belongs in a component with `resident = true`"},
    {"max_inflight", "use `max_connections`"},
    {"capability", "set `capability` in [components.<name>]"},
    {NULL, NULL},
};

const struct rusm__key_set rusm__serve_keys =
    SET("[[serve]]", serve, rusm__manifest_listener, serve_removed);

static const struct rusm__key tls[] = {
    [RUSM__TLS_CERT] = {.name = "cert",
                        .type = RUSM__KEY_STRING,
                        .required = true,
                        FIELD(rusm__manifest_tls, cert),
                        .max = TEXT_MAX,
                        .take = rusm__take_text,
                        .used_by = LISTENING,
                        .meaning = "Path of the certificate chain, PEM, leaf first."},
    [RUSM__TLS_KEY] = {.name = "key",
                       .type = RUSM__KEY_STRING,
                       .required = true,
                       FIELD(rusm__manifest_tls, key),
                       .max = TEXT_MAX,
                       .take = rusm__take_text,
                       .used_by = LISTENING,
                       .meaning = "Path of the private key, PEM: PKCS#8, RSA or SEC1."},
};

const struct rusm__key_set rusm__tls_keys = SET("[serve.tls]", tls, rusm__manifest_tls, NULL);

/* ---- [capabilities.<name>] ---- */

#define GRANT(key, field, text)                                                                    \
    {.name = (key),                                                                                \
     .type = RUSM__KEY_BOOLEAN,                                                                    \
     FIELD(rusm__manifest_profile, field),                                                         \
     .used_by = NODES,                                                                             \
     .standard = "as the base",                                                                    \
     .meaning = (text)}

/* Limits stand in a profile and in a component under the same names: the rows of both tables. */
#define LIMIT_ROWS(LIMIT, POLICY)                                                                  \
    LIMIT(MAX_MEMORY_MB, "max-memory-mb", max_memory_mb, 1, 4096,                                  \
          "MiB of each linear memory, inclusive; growth beyond is denied.")                        \
    LIMIT(MAX_HOST_MB, "max-host-mb", max_host_mb, 1, 4096,                                        \
          "MiB that the host may hold for the process because of its own acts: stack, tables, "    \
          "stash, timers, names, monitors, supervisors and what they know of their children, "     \
          "streams, messages that wait for room.")                                                 \
    LIMIT(MAX_MESSAGE_BYTES, "max-message-bytes", max_message_bytes, 1, GIB,                       \
          "Bytes of one message that the guest sends; a longer one traps it.")                     \
    LIMIT(MAILBOX_MESSAGES, "mailbox-messages", mailbox_messages, 1, 4194303,                      \
          "Messages that wait at once.")                                                           \
    LIMIT(MAILBOX_BYTES, "mailbox-bytes", mailbox_bytes, 1, 4 * GIB,                               \
          "Bytes of messages that wait at once.")                                                  \
    POLICY(MAILBOX_POLICY, "mailbox-policy", mailbox_policy,                                       \
           "What a full mailbox does with one more message. A refused message is dropped, "        \
           "counted, and logged once per cause; see *Limits*.")                                    \
    LIMIT(MAX_CHILDREN, "max-children", max_children, 0, 1000000,                                  \
          "Processes that it has spawned and that are alive.")                                     \
    LIMIT(MAX_NAMES, "max-names", max_names, 0, 65536, "Registered names and tags together.")      \
    LIMIT(MAX_TIMERS, "max-timers", max_timers, 0, 1000000, "Armed timers.")                       \
    LIMIT(MAX_STREAMS, "max-streams", max_streams, 1, 65536,                                       \
          "Ends of byte streams, to write to and to read from together.")                          \
    LIMIT(CPU_MS, "cpu-ms", cpu_ms, 0, UP_TO_A_WEEK_MS,                                            \
          "Milliseconds of CPU time per unit of work; 0 is no limit. Where no file says it, "      \
          "handlers of requests have 10000.")                                                      \
    LIMIT(DEADLINE_MS, "deadline-ms", deadline_ms, 0, UP_TO_A_WEEK_MS,                             \
          "Milliseconds from the start of a unit of work to its end; 0 is no limit. Where no "     \
          "file says it, handlers of requests have 30000.")

#define PROFILE_LIMIT(KEY, text, field, low, high, what)                                           \
    [RUSM__CAPABILITY_##KEY] = {.name = (text),                                                    \
                                .type = RUSM__KEY_INTEGER,                                         \
                                FIELD(rusm__manifest_profile, limits.field),                       \
                                .min = (low),                                                      \
                                .max = (high),                                                     \
                                .used_by = NODES,                                                  \
                                .standard = "as the base",                                         \
                                .meaning = (what)},
#define PROFILE_POLICY(KEY, text, field, what)                                                     \
    [RUSM__CAPABILITY_##KEY] = {.name = (text),                                                    \
                                .type = RUSM__KEY_WORD,                                            \
                                FIELD(rusm__manifest_profile, limits.field),                       \
                                .words = rusm__mailbox_policy_words,                               \
                                .used_by = NODES,                                                  \
                                .standard = "as the base",                                         \
                                .meaning = (what)},
#define COMPONENT_LIMIT(KEY, text, field, low, high, what)                                         \
    [RUSM__COMPONENT_##KEY] = {.name = (text),                                                     \
                               .type = RUSM__KEY_INTEGER,                                          \
                               FIELD(rusm__manifest_component, own.field),                         \
                               .min = (low),                                                       \
                               .max = (high),                                                      \
                               .used_by = NODES,                                                   \
                               .standard = "as the profile",                                       \
                               .meaning = OWN_LIMIT},
#define COMPONENT_POLICY(KEY, text, field, what)                                                   \
    [RUSM__COMPONENT_##KEY] = {.name = (text),                                                     \
                               .type = RUSM__KEY_WORD,                                             \
                               FIELD(rusm__manifest_component, own.field),                         \
                               .words = rusm__mailbox_policy_words,                                \
                               .used_by = NODES,                                                   \
                               .standard = "as the profile",                                       \
                               .meaning = OWN_LIMIT},
#define OWN_LIMIT "For this component, whatever its profile says; see [capabilities.<name>]."

static const struct rusm__key capability[] = {
    [RUSM__CAPABILITY_INHERITS] =
        {.name = "inherits",
         .type = RUSM__KEY_STRING,
         FIELD(rusm__manifest_profile, inherits),
         .max = NAME_MAX_BYTES,
         .take = take_inherits,
         .fallback = "sandboxed",
         .used_by = NODES,
         .meaning = "The base: `sandboxed`, `network-client` or `trusted`. Always the built-in "
                    "profile of that name, also where the app hides it with its own."},
    [RUSM__CAPABILITY_ALLOW_NETWORK] =
        GRANT("allow-network", network,
              "Outbound `wasi:http`, TCP and UDP sockets, and `url:` in spawn-from. Connecting "
              "only, not listening."),
    [RUSM__CAPABILITY_ALLOW_SPAWN] =
        GRANT("allow-spawn", spawn, "Spawning and supervising; monitoring too."),
    [RUSM__CAPABILITY_ALLOW_PROCESS_CONTROL] = GRANT(
        "allow-process-control", process_control,
        "Listing, inspecting and killing other processes (guests and what was started for them, "
        "never processes of the node itself); monitoring too."),
    [RUSM__CAPABILITY_ALLOW_STDIO] =
        GRANT("allow-stdio", stdio, "The node's own standard streams."),
    [RUSM__CAPABILITY_ALLOW_STORAGE] =
        GRANT("allow-storage", storage, "The key-value store, and `kv:` in spawn-from."),
    [RUSM__CAPABILITY_BRIDGES] = {.name = "bridges",
                                  .type = RUSM__KEY_STRINGS,
                                  FIELD(rusm__manifest_profile, bridges),
                                  .max = NAME_MAX_BYTES,
                                  .take = rusm__take_bridge,
                                  .used_by = NODES | RUSM__FOR_BUILD,
                                  .standard = "`[]`",
                                  .meaning = "Host interfaces that the program registers "
                                             "(docs/embedding.md), by name; never implied by "
                                             "a base. `rusm` itself registers none."},
    [RUSM__CAPABILITY_ENV] =
        {.name = "env",
         .type = RUSM__KEY_STRINGS,
         FIELD(rusm__manifest_profile, env),
         .max = 256,
         .take = rusm__take_env,
         .used_by = NODES,
         .standard = "`[]`",
         .meaning = "Names of environment variables that the guest sees; one that has no value "
                    "when the component is registered is left out with a warning, one whose value "
                    "is not UTF-8 is an error."},
    [RUSM__CAPABILITY_PREOPEN] = {.name = "preopen",
                                  .type = RUSM__KEY_TABLES,
                                  .used_by = NODES,
                                  .standard = "`[]`",
                                  .meaning = "Folders of the host that the guest may open; see "
                                             "`preopen` below."},
    [RUSM__CAPABILITY_URL_LOCAL_HOSTS] =
        {.name = "url-local-hosts",
         .type = RUSM__KEY_STRINGS,
         FIELD(rusm__manifest_profile, url_local_hosts),
         .max = 256,
         .take = rusm__take_url_host,
         .used_by = NODES,
         .standard = "`[]`",
         .meaning = "Hosts, or host:port, as a `url:` of spawn-from names them, that may be this "
                    "machine, its link or a private network; any other may not."},
    LIMIT_ROWS(PROFILE_LIMIT, PROFILE_POLICY)};

const struct rusm__key_set rusm__capability_keys =
    SET("[capabilities.<name>]", capability, rusm__manifest_profile, NULL);

static void take_inherits(struct rusm__reader *reader, const struct rusm__slot *slot,
                          const struct rusm__toml *value) {
    const struct rusm__manifest_profile *base;
    struct rusm__suggestion near;
    rusm__suggest_start(&near, value->as.string.ptr, value->as.string.len);
    for (size_t i = 0; (base = rusm__manifest_builtin_profile(i)) != NULL; i++) {
        if (strcmp(base->name, value->as.string.ptr) == 0) {
            *(const char **)rusm__slot_field(slot) = base->name;
            return;
        }
        rusm__suggest_try(&near, base->name);
    }
    RUSM__BAD(reader, value->at,
              "`inherits` in %s must be one of the built-in profiles `sandboxed`, "
              "`network-client`, `trusted`, found %s%s",
              slot->where, rusm__describe(value).text, rusm__read_hint(reader, &near));
}

static const struct rusm__key preopen[] = {
    [RUSM__PREOPEN_HOST] = {.name = "host",
                            .type = RUSM__KEY_STRING,
                            .required = true,
                            FIELD(rusm__manifest_preopen, host),
                            .max = TEXT_MAX,
                            .take = rusm__take_text,
                            .used_by = NODES,
                            .meaning = "The folder, relative to the app's folder. While it is not "
                                       "there, guests that use WASI crash."},
    [RUSM__PREOPEN_GUEST] = {.name = "guest",
                             .type = RUSM__KEY_STRING,
                             .required = true,
                             FIELD(rusm__manifest_preopen, guest),
                             .max = TEXT_MAX,
                             .take = rusm__take_text,
                             .used_by = NODES,
                             .meaning = "Its name for the guest; one name once."},
    [RUSM__PREOPEN_READ_ONLY] = {.name = "read-only",
                                 .type = RUSM__KEY_BOOLEAN,
                                 FIELD(rusm__manifest_preopen, read_only),
                                 .fallback = "true",
                                 .used_by = NODES,
                                 .meaning = "False lets the guest write."},
};

const struct rusm__key_set rusm__preopen_keys =
    SET("preopen of [capabilities.<name>]", preopen, rusm__manifest_preopen, NULL);

/* ---- [components.<name>] ---- */

static const struct rusm__key component[] = {
    [RUSM__COMPONENT_CAPABILITY] =
        {.name = "capability",
         .type = RUSM__KEY_STRING,
         FIELD(rusm__manifest_component, capability),
         .max = NAME_MAX_BYTES,
         .take = rusm__take_text,
         .fallback = "sandboxed",
         .used_by = NODES,
         .meaning = "The profile it runs under, whoever spawns it: one of the app's own, else a "
                    "built-in one."},
    [RUSM__COMPONENT_RESIDENT] = {.name = "resident",
                                  .type = RUSM__KEY_BOOLEAN,
                                  FIELD(rusm__manifest_component, resident),
                                  .fallback = "false",
                                  .used_by = NODES,
                                  .meaning = "Spawned at boot and supervised."},
    [RUSM__COMPONENT_RESTART] =
        {.name = "restart",
         .type = RUSM__KEY_WORD,
         FIELD(rusm__manifest_component, restart),
         .words = restart_words,
         .fallback = "transient",
         .used_by = NODES,
         .meaning = "When a supervisor restarts it: always, after a crash or a kill, never."},
    [RUSM__COMPONENT_SOURCE] =
        {.name = "source",
         .type = RUSM__KEY_STRING,
         FIELD(rusm__manifest_component, source),
         .max = TEXT_MAX,
         .take = rusm__take_source,
         .used_by = NODES,
         .standard = "none",
         .meaning = "Where the bundle comes from instead of `./wasm`; see *Sources*."},
    [RUSM__COMPONENT_DYNAMIC] =
        {.name = "dynamic",
         .type = RUSM__KEY_STRING,
         FIELD(rusm__manifest_component, dynamic),
         .max = WORD_MAX,
         .take = rusm__take_dynamic,
         .used_by = NODES,
         .standard = "none",
         .meaning = "`js`, `wasm` or `wasi-cli`: a template without a bundle, for spawn-from. Not "
                    "with `source`, `resident` or `restart`, and no handler of a route."},
    [RUSM__COMPONENT_ENTRY] = {.name = "entry",
                               .type = RUSM__KEY_STRING,
                               FIELD(rusm__manifest_component, entry),
                               .max = 256,
                               .take = rusm__take_text,
                               .fallback = "run",
                               .used_by = NODES,
                               .meaning =
                                   "The export that is called; not with `dynamic = \"wasi-cli\"`."},
    LIMIT_ROWS(COMPONENT_LIMIT, COMPONENT_POLICY)};

const struct rusm__key_set rusm__component_keys = {
    .title = "[components.<name>]",
    .keys = component,
    .count = sizeof(component) / sizeof(component[0]),
    .at_offset = offsetof(struct rusm__manifest_component, at),
    .underscores = true, /* as in the other keys of this table */
};

/* ---- all of them ---- */

const struct rusm__key_set *rusm__key_set_at(size_t index) {
    static const struct rusm__key_set *const sets[] = {
        &rusm__root_keys, &rusm__node_keys,       &rusm__log_keys,     &rusm__serve_keys,
        &rusm__tls_keys,  &rusm__capability_keys, &rusm__preopen_keys, &rusm__component_keys};
    return index < sizeof(sets) / sizeof(sets[0]) ? sets[index] : NULL;
}

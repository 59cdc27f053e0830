/* SPDX-License-Identifier: MIT */
/* `rusm kv`: read and change the store, whether the node runs or not. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rusm/error.h"
#include "rusm/store.h"

#include "cli/command.h"

enum { MAX_VALUE = 16 << 20, MAX_NAME = 1024 };

/* What the operands said. */
struct request {
    char bucket[MAX_NAME], key[MAX_NAME];
    const char *target;   /* "bucket/key", as it was typed */
    const char *file;     /* NULL: none was given; "-": standard input or output */
    unsigned char *value; /* what it holds, if it is to be stored; owned */
    size_t value_len;
};

struct action {
    const char *name;
    int (*run)(rusm_store *store, const struct request *request);
    int least, most;  /* operands */
    bool takes_key;   /* else a bucket alone */
    bool stores_file; /* its content is read before the store is opened */
    const char *takes;
};

/* ---- complaints ---- */

static int usage_error(const char *before, const char *word, const char *after) {
    fprintf(stderr, "error: %s", before);
    rusm__cli_print_word(word, stderr);
    fprintf(stderr, "%s\n", after);
    return RUSM__CLI_USAGE;
}

static int failed(const char *before, const char *word, const char *after) {
    fprintf(stderr, "kv failed: %s", before);
    rusm__cli_print_word(word, stderr);
    fprintf(stderr, "%s\n", after);
    return RUSM__CLI_FAILED;
}

static int failed_file(const char *verb, const char *name, int error) {
    fprintf(stderr, "kv failed: %s ", verb);
    rusm__cli_print_word(name, stderr);
    fprintf(stderr, ": %s\n", strerror(error));
    return RUSM__CLI_FAILED;
}

/* A line on standard output about a name that somebody typed. */
static int say(const char *before, const char *word, const char *after) {
    fputs(before, stdout);
    rusm__cli_print_word(word, stdout);
    printf("%s\n", after);
    return RUSM__CLI_OK;
}

/* ---- files ---- */

/* One byte more than a value may have shows that there are too many. */
static int read_file(const char *name, struct request *request) {
    bool is_input = strcmp(name, "-") == 0;
    FILE *file = is_input ? stdin : fopen(name, "rb");
    if (!file)
        return failed_file("reading", name, errno);
    request->value_len = fread(request->value, 1, MAX_VALUE + 1, file);
    int error = ferror(file) ? errno : 0;
    if (!is_input)
        fclose(file);
    if (error)
        return failed_file("reading", name, error);
    if (request->value_len > MAX_VALUE)
        return failed("", name, " is too large: a value has at most 16777216 bytes");
    return RUSM__CLI_OK;
}

/* What comes from another program or from a keyboard may take its time, in which nobody else should
 * have to wait for the store. */
static int read_value(struct request *request) {
    request->value = malloc(MAX_VALUE + 1);
    return request->value ? read_file(request->file, request) : failed("", "out of memory", "");
}

static int write_value(const char *name, const rusm_store_value *value) {
    bool is_output = !name || strcmp(name, "-") == 0;
    FILE *file = is_output ? stdout : fopen(name, "wb");
    if (!file)
        return failed_file("writing", name, errno);
    errno = 0;
    bool bad = fwrite(value->data, 1, value->len, file) != value->len;
    bad = (is_output ? fflush(file) : fclose(file)) != 0 || bad;
    if (bad)
        return failed_file("writing", is_output ? "standard output" : name, errno);
    if (!is_output) {
        printf("wrote %zu bytes to ", value->len);
        say("", name, "");
    }
    return RUSM__CLI_OK;
}

/* ---- the actions ---- */

static int set(rusm_store *store, const struct request *request) {
    rusm_problem problem;
    char bytes[64];
    int status = rusm__cli_report("kv",
                                  rusm_store_set(store, request->bucket, request->key,
                                                 request->value, request->value_len, &problem),
                                  &problem);
    if (status != RUSM__CLI_OK)
        return status;
    snprintf(bytes, sizeof bytes, " (%zu bytes)", request->value_len);
    return say("set ", request->target, bytes);
}

static int get(rusm_store *store, const struct request *request) {
    rusm_problem problem;
    rusm_store_value value;
    int code = rusm_store_get(store, request->bucket, request->key, &value, &problem);
    if (code == RUSM_ENOTFOUND) {
        rusm_problem_clear(&problem);
        return failed("no value at ", request->target, "");
    }
    int status = rusm__cli_report("kv", code, &problem);
    if (status == RUSM__CLI_OK)
        status = write_value(request->file, &value);
    rusm_store_value_clear(&value);
    return status;
}

/* Keys are text of any kind: a line break in one would look like two. */
static bool print_key(void *arg, const char *key, size_t len) {
    bool *any = arg;
    *any = true;
    rusm__cli_print_bytes(key, len, stdout);
    return putchar('\n') != EOF;
}

static int list(rusm_store *store, const struct request *request) {
    rusm_problem problem;
    bool any = false;
    int code = rusm_store_list(store, request->bucket, print_key, &any, &problem);
    int status = rusm__cli_report("kv", code, &problem);
    if (status == RUSM__CLI_OK && !any)
        say("(bucket `", request->bucket, "` is empty)");
    return status;
}

static int drop(rusm_store *store, const struct request *request) {
    rusm_problem problem;
    bool existed;
    int code = rusm_store_remove(store, request->bucket, request->key, &existed, &problem);
    int status = rusm__cli_report("kv", code, &problem);
    return status == RUSM__CLI_OK ? say(existed ? "removed " : "no value at ", request->target, "")
                                  : status;
}

static const struct action actions[] = {
    {"set", set, 2, 2, true, true, NULL},
    {"get", get, 1, 2, true, false, "<bucket>/<key> [<out-file>]"},
    {"list", list, 1, 1, false, false, NULL},
    {"rm", drop, 1, 1, true, false, NULL},
    {"delete", drop, 1, 1, true, false, NULL},
};

/* ---- operands ---- */

static const struct action *find_action(const char *name) {
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(actions[i].name, name) == 0)
            return &actions[i];
    }
    return NULL;
}

static int check_count(const struct action *action, int count) {
    if (count >= action->least && count <= action->most)
        return RUSM__CLI_OK;
    if (action->takes)
        fprintf(stderr, "error: `rusm kv %s` takes %s\n", action->name, action->takes);
    else
        fprintf(stderr, "error: `rusm kv %s` takes %d argument(s), got %d\n", action->name,
                action->least, count);
    return RUSM__CLI_USAGE;
}

/* The first slash divides: a key may hold more of them. */
static int split(const struct action *action, struct request *request) {
    const char *slash = strchr(request->target, '/');
    size_t bucket =
        action->takes_key && slash ? (size_t)(slash - request->target) : strlen(request->target);
    const char *key = action->takes_key && slash ? slash + 1 : "";
    if (action->takes_key && !slash)
        return usage_error("expected `<bucket>/<key>`, got \"", request->target, "\"");
    if (bucket == 0 || (action->takes_key && !*key))
        return usage_error(action->takes_key ? "both bucket and key must be non-empty in \""
                                             : "the bucket must be non-empty in \"",
                           request->target, "\"");
    if (bucket >= MAX_NAME || strlen(key) >= MAX_NAME)
        return usage_error("too long: \"", request->target, "\"");
    memcpy(request->bucket, request->target, bucket);
    request->bucket[bucket] = '\0';
    strcpy(request->key, key);
    return RUSM__CLI_OK;
}

static int perform(const struct action *action, const struct request *request, const char *config) {
    const rusm_store_options options = {.size = sizeof options, .config_path = config};
    rusm_store *store;
    rusm_problem problem;
    int status = rusm__cli_report("kv", rusm_store_open(&options, &store, &problem), &problem);
    if (status != RUSM__CLI_OK)
        return status;
    errno = 0;
    status = action->run(store, request);
    if (status == RUSM__CLI_OK && (fflush(stdout) != 0 || ferror(stdout)))
        status = failed_file("writing", "standard output", errno ? errno : EIO);
    rusm_store_close(store);
    return status;
}

int rusm__cli_kv(const struct rusm__cli_command *command, const struct rusm__cli_args *args) {
    if (args->operand_count == 0) {
        rusm__cli_print_command_help(command, stderr);
        return RUSM__CLI_USAGE;
    }
    const struct action *action = find_action(args->operands[0]);
    if (!action)
        return usage_error("unknown `rusm kv` action `", args->operands[0],
                           "` (use set | get | list | rm)");
    int status = check_count(action, args->operand_count - 1);
    if (status != RUSM__CLI_OK)
        return status;
    struct request request = {.target = args->operands[1],
                              .file = args->operand_count > 2 ? args->operands[2] : NULL};
    status = split(action, &request);
    if (status == RUSM__CLI_OK && action->stores_file)
        status = read_value(&request);
    if (status == RUSM__CLI_OK)
        status = perform(action, &request, args->config);
    free(request.value);
    return status;
}

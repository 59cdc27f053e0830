/* SPDX-License-Identifier: MIT */
/* The arguments behind a command's name. Nothing is ignored: what a command does not know is
 * refused, so that a misspelt option cannot pass for a default. */
#include "cli/command.h"

#include <string.h>

/* One option that takes a value. */
struct option {
    const char *name;
    const char **value; /* NULL: this command does not take it */
};

/* Also U+0080 to U+009F, among which some terminals find the beginnings of commands. */
void rusm__cli_print_bytes(const char *bytes, size_t len, FILE *out) {
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        unsigned char next = i + 1 < len ? (unsigned char)bytes[i + 1] : 0xff;
        if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\x%02x", c);
        else if (c == 0xc2 && next < 0xa0)
            fprintf(out, "\\xc2\\x%02x", (unsigned char)bytes[++i]);
        else
            fputc(c, out);
    }
}

void rusm__cli_print_word(const char *word, FILE *out) {
    rusm__cli_print_bytes(word, strlen(word), out);
}

static bool complain(const struct rusm__cli_command *command, const char *text, const char *word) {
    fprintf(stderr, "%s `", text);
    rusm__cli_print_word(word, stderr);
    fprintf(stderr, "`\n\nUsage:\n  rusm %s%s%s\n", command->name, command->usage ? " " : "",
            command->usage ? command->usage : "");
    return false;
}

/* Does arg mean this option? Sets *out_inline to what stands behind "=", or to NULL. */
static bool is_option(const char *arg, const char *name, const char **out_inline) {
    size_t len = strlen(name);
    if (strncmp(arg, name, len) != 0 || (arg[len] != '\0' && arg[len] != '='))
        return false;
    *out_inline = arg[len] == '=' ? arg + len + 1 : NULL;
    return true;
}

/* Take the option at argv[*i]; *i moves to the last argument that was used. */
static bool take(const struct rusm__cli_command *command, const struct option *option,
                 const char *value, int argc, char **argv, int *i) {
    if (!option->value)
        return complain(command, "unknown option", option->name);
    if (*option->value)
        return complain(command, "given twice:", option->name);
    /* Another option is no value; one that must start with a dash is written with "=". */
    if (!value && *i + 1 < argc && argv[*i + 1][0] != '-')
        value = argv[++*i];
    if (!value || value[0] == '\0') {
        fprintf(stderr, "the '%s' option doesn't have an associated value\n", option->name);
        return false;
    }
    *option->value = value;
    return true;
}

/* A dash alone stands for standard input or output. */
static bool is_operand(const char *arg) {
    return arg[0] != '-' || arg[1] == '\0';
}

/* Operands move to the front: what stood there was looked at before. */
static bool keep(const struct rusm__cli_command *command, char *arg,
                 struct rusm__cli_args *out_args) {
    if (command->takes_operands)
        out_args->operands[out_args->operand_count++] = arg;
    return command->takes_operands;
}

bool rusm__cli_parse(const struct rusm__cli_command *command, int argc, char **argv,
                     struct rusm__cli_args *out_args) {
    *out_args = (struct rusm__cli_args){.operands = argv};
    const struct option options[] = {
        {"--config", command->takes_config ? &out_args->config : NULL},
        {"--listen", command->takes_listen ? &out_args->listen : NULL},
    };
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) { /* the rest are operands */
            while (++i < argc) {
                if (!keep(command, argv[i], out_args))
                    return complain(command, "unexpected argument", argv[i]);
            }
            return true;
        }
        const struct option *found = NULL;
        const char *value = NULL;
        for (size_t k = 0; k < sizeof(options) / sizeof(options[0]) && !found; k++) {
            if (is_option(argv[i], options[k].name, &value))
                found = &options[k];
        }
        if (!found && is_operand(argv[i]) && keep(command, argv[i], out_args))
            continue;
        if (!found)
            return complain(command, argv[i][0] == '-' ? "unknown option" : "unexpected argument",
                            argv[i]);
        if (!take(command, found, value, argc, argv, &i))
            return false;
    }
    return true;
}

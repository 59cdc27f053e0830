/* SPDX-License-Identifier: MIT */
#include "program.h"

#include <stdlib.h>
#include <string.h>

struct reader {
    struct program *programs;
    size_t count;
    struct script *script; /* the one being read */
    unsigned line;
};

static bool fail(const struct reader *reader, const char *what) {
    fprintf(stderr, "oracle: line %u: %s\n", reader->line, what);
    return false;
}

static bool add_program(struct reader *reader, const char *id) {
    struct program *programs =
        realloc(reader->programs, (reader->count + 1) * sizeof(struct program));
    if (!programs) {
        return fail(reader, "out of memory");
    }
    reader->programs = programs;
    reader->script = NULL;
    memset(&programs[reader->count], 0, sizeof(struct program));
    programs[reader->count++].id = (unsigned)strtoul(id, NULL, 10);
    return true;
}

/* "proc INDEX root|child eager|lazy"; indices count from 0. */
static bool add_script(struct reader *reader, const struct op *line) {
    struct program *program = reader->count ? &reader->programs[reader->count - 1] : NULL;
    if (!program || program->count == MAX_ACTORS ||
        strtoul(line->words[0], NULL, 10) != program->count) {
        return fail(reader, "a process that does not fit here");
    }
    reader->script = &program->scripts[program->count++];
    reader->script->is_root = strcmp(line->words[1], "root") == 0;
    reader->script->is_lazy = strcmp(line->words[2], "lazy") == 0;
    return true;
}

static bool add_op(struct reader *reader, const struct op *op) {
    if (!reader->script || reader->script->op_count == MAX_OPS) {
        return fail(reader, "an operation that does not fit here");
    }
    reader->script->ops[reader->script->op_count++] = *op;
    return true;
}

static bool read_line(struct reader *reader, const char *text) {
    struct op op = {0};
    int words = sscanf(text, "%23s %23s %23s %23s", op.verb, op.words[0], op.words[1], op.words[2]);
    if (words <= 0) {
        return true;
    }
    if (strcmp(op.verb, "program") == 0) {
        return add_program(reader, op.words[0]);
    }
    return strcmp(op.verb, "proc") == 0 ? add_script(reader, &op) : add_op(reader, &op);
}

size_t programs_read(FILE *file, struct program **out_programs) {
    struct reader reader = {0};
    char line[128];
    *out_programs = NULL;
    while (fgets(line, sizeof(line), file)) {
        reader.line++;
        if (!read_line(&reader, line)) {
            free(reader.programs);
            return 0;
        }
    }
    *out_programs = reader.programs;
    return reader.count;
}

/* SPDX-License-Identifier: MIT */
/* Types of bridge functions, from the words of WIT. Reads from left to right and looks one word
 * ahead; nothing nests deeper than result<list<u8>, ...>, so there is no recursion. */
#include "hostcall/bridge.h"

#include <string.h>

struct reader {
    const char *start;
    const char *at;
    const char *wrong; /* the first thing that is wrong */
    const char *wrong_at;
};

static void fail(struct reader *reader, const char *wrong) {
    if (reader->wrong)
        return;
    reader->wrong = wrong;
    reader->wrong_at = reader->at;
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '%';
}

static void skip_blanks(struct reader *reader) {
    while (*reader->at && strchr(" \t\r\n", *reader->at))
        reader->at++;
}

/* Take the mark if it is next. */
static bool take(struct reader *reader, const char *mark) {
    size_t len = strlen(mark);
    skip_blanks(reader);
    if (reader->wrong || strncmp(reader->at, mark, len) != 0)
        return false;
    reader->at += len;
    return true;
}

static void expect(struct reader *reader, const char *mark, const char *wrong) {
    if (!take(reader, mark))
        fail(reader, wrong);
}

/* The length of the word that is next; it is taken. A name may hold `->`'s dash only inside. */
static size_t take_word(struct reader *reader, const char **out_word) {
    skip_blanks(reader);
    const char *start = *out_word = reader->at;
    while (is_word(*reader->at) && strncmp(reader->at, "->", 2) != 0)
        reader->at++;
    return (size_t)(reader->at - start);
}

static uint32_t plain_type(const char *word, size_t len) {
    static const struct {
        const char *name;
        rusm_type type;
    } types[] = {
        {"bool", RUSM_TYPE_BOOL},     {"u8", RUSM_TYPE_U8},   {"u16", RUSM_TYPE_U16},
        {"u32", RUSM_TYPE_U32},       {"u64", RUSM_TYPE_U64}, {"s8", RUSM_TYPE_S8},
        {"s16", RUSM_TYPE_S16},       {"s32", RUSM_TYPE_S32}, {"s64", RUSM_TYPE_S64},
        {"f32", RUSM_TYPE_F32},       {"f64", RUSM_TYPE_F64}, {"char", RUSM_TYPE_CHAR},
        {"string", RUSM_TYPE_STRING},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (strlen(types[i].name) == len && memcmp(types[i].name, word, len) == 0)
            return (uint32_t)types[i].type;
    }
    return RUSM_TYPE_NONE;
}

static uint32_t read_type(struct reader *reader) {
    const char *word;
    skip_blanks(reader);
    const char *before = reader->at;
    size_t len = take_word(reader, &word);
    if (len == 4 && memcmp(word, "list", 4) == 0) {
        expect(reader, "<", "`<u8>` is missing");
        size_t inner = take_word(reader, &word);
        if (inner != 2 || memcmp(word, "u8", 2) != 0)
            fail(reader, "only lists of u8 are known");
        expect(reader, ">", "`>` is missing");
        return RUSM_TYPE_BYTES;
    }
    uint32_t type = plain_type(word, len);
    if (type == RUSM_TYPE_NONE) {
        reader->at = before;
        fail(reader, "a type is missing here, or this one is not known");
    }
    return type;
}

/* After `result`: nothing, <T>, <_, E> or <T, E>. */
static void read_result(struct reader *reader, struct rusm__signature *out) {
    out->is_result = true;
    if (!take(reader, "<"))
        return;
    bool has_ok = !take(reader, "_");
    if (has_ok)
        out->answer = read_type(reader);
    if (take(reader, ","))
        out->error = read_type(reader);
    else if (!has_ok)
        fail(reader, "`,` is missing");
    expect(reader, ">", "`>` is missing");
}

static void read_answer(struct reader *reader, struct rusm__signature *out) {
    const char *word;
    skip_blanks(reader);
    const char *before = reader->at;
    size_t len = take_word(reader, &word);
    if (len == 6 && memcmp(word, "result", 6) == 0) {
        read_result(reader, out);
        return;
    }
    reader->at = before;
    out->answer = read_type(reader);
}

static void read_params(struct reader *reader, struct rusm__signature *out) {
    uint32_t flat = 0;
    while (!reader->wrong && !take(reader, ")")) {
        const char *word;
        if (out->param_count && !take(reader, ","))
            fail(reader, "`,` or `)` is missing");
        if (take_word(reader, &word) == 0)
            fail(reader, "the name of a parameter is missing");
        expect(reader, ":", "`:` and a type are missing");
        uint32_t type = reader->wrong ? RUSM_TYPE_NONE : read_type(reader);
        flat += type == RUSM_TYPE_STRING || type == RUSM_TYPE_BYTES ? 2 : 1;
        if (flat > RUSM__BRIDGE_PARAMS_MAX)
            fail(reader, "more parameters than 16 core values hold (a string or list takes two)");
        else if (!reader->wrong)
            out->params[out->param_count++] = type;
    }
}

const char *rusm__signature_read(const char *text, struct rusm__signature *out, size_t *out_at) {
    struct reader reader = {.start = text, .at = text};
    *out = (struct rusm__signature){0};
    expect(&reader, "func", "`func` is missing");
    expect(&reader, "(", "`(` is missing");
    read_params(&reader, out);
    if (take(&reader, "->"))
        read_answer(&reader, out);
    skip_blanks(&reader);
    if (*reader.at)
        fail(&reader, "nothing more was expected");
    *out_at = (size_t)((reader.wrong ? reader.wrong_at : reader.at) - reader.start);
    return reader.wrong;
}

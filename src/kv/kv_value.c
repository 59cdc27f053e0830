/* SPDX-License-Identifier: MIT */
/* Values as they stand in the database: a byte of form, for some a time, then the bytes. */
#include "kv/kv_impl.h"

#include <string.h>

#include "rusm/error.h"

#include "base/clock.h"

void rusm__kv_time_write(uint64_t ms, unsigned char out[RUSM__KV_TIME_BYTES]) {
    for (unsigned i = 0; i < RUSM__KV_TIME_BYTES; i++)
        out[i] = (unsigned char)(ms >> (8 * (RUSM__KV_TIME_BYTES - 1 - i)));
}

uint64_t rusm__kv_time_read(const unsigned char bytes[RUSM__KV_TIME_BYTES]) {
    uint64_t ms = 0;
    for (unsigned i = 0; i < RUSM__KV_TIME_BYTES; i++)
        ms = ms << 8 | bytes[i];
    return ms;
}

size_t rusm__kv_value_head_len(uint64_t over_ms) {
    return over_ms ? 1 + RUSM__KV_TIME_BYTES : 1;
}

void rusm__kv_value_head(uint64_t over_ms, unsigned char *out) {
    out[0] = over_ms ? RUSM__KV_FORM_EXPIRES : RUSM__KV_FORM_PLAIN;
    if (over_ms)
        rusm__kv_time_write(over_ms, out + 1);
}

int rusm__kv_value_read(const MDB_val *value, struct rusm__kv_stored *out_stored,
                        struct rusm__kv_error *error) {
    const unsigned char *bytes = value->mv_data;
    size_t head = 1;
    uint64_t over_ms = 0;
    *out_stored = (struct rusm__kv_stored){0};
    bool known = value->mv_size >= 1 && bytes[0] == RUSM__KV_FORM_PLAIN;
    if (value->mv_size >= 1 + RUSM__KV_TIME_BYTES && bytes[0] == RUSM__KV_FORM_EXPIRES) {
        over_ms = rusm__kv_time_read(bytes + 1);
        head += RUSM__KV_TIME_BYTES;
        known = true;
    }
    if (!known)
        return rusm__kv_fail(error, RUSM_EIO,
                             "the value is in a form that this version of rusm does not know");
    *out_stored = (struct rusm__kv_stored){
        .over_ms = over_ms, .bytes = {.ptr = bytes + head, .len = value->mv_size - head}};
    return RUSM_OK;
}

uint64_t rusm__kv_now_ms(void) {
    int64_t now_ns = rusm__clock_unix_ns();
    return now_ns > 0 ? (uint64_t)now_ns / RUSM__MS : 0;
}

bool rusm__kv_is_over(const struct rusm__kv_stored *stored) {
    return stored->over_ms && rusm__kv_now_ms() >= stored->over_ms;
}

bool rusm__kv_number_read(struct rusm__kv_bytes bytes, int64_t *out_number) {
    size_t at = bytes.len > 0 && bytes.ptr[0] == '-';
    bool negative = at == 1;
    int64_t number = 0;
    if (at == bytes.len)
        return false;
    for (; at < bytes.len; at++) {
        int64_t digit = bytes.ptr[at] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, negative ? -digit : digit, &number))
            return false;
    }
    *out_number = number;
    return true;
}

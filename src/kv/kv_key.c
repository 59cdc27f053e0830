/* SPDX-License-Identifier: MIT */
/* Keys as they stand in the database. The bucket's length in front keeps ("a", "bc") and
 * ("ab", "c") apart and all keys of a bucket side by side, in the order of their bytes. */
#include "kv/kv_impl.h"

#include <string.h>

#include "rusm/error.h"

_Static_assert(RUSM__KV_MAX_KEY_BYTES == RUSM__KV_LMDB_KEY_BYTES - RUSM__KV_BUCKET_PREFIX,
               "the prefix and the longest key fill LMDB's key");

int rusm__kv_key_check(struct rusm__kv_bytes bucket, struct rusm__kv_bytes key, size_t *out_len,
                       struct rusm__kv_error *error) {
    *out_len = 0;
    if (bucket.len > RUSM__KV_MAX_KEY_BYTES || key.len > RUSM__KV_MAX_KEY_BYTES - bucket.len)
        return rusm__kv_fail(error, RUSM_ETOOBIG,
                             "kv key too long: bucket (%zu bytes) and key (%zu bytes) may have "
                             "%u bytes together",
                             bucket.len, key.len, RUSM__KV_MAX_KEY_BYTES);
    *out_len = RUSM__KV_BUCKET_PREFIX + bucket.len + key.len;
    return RUSM_OK;
}

int rusm__kv_key_encode(struct rusm__kv_bytes bucket, struct rusm__kv_bytes key, unsigned char *out,
                        size_t *out_len, struct rusm__kv_error *error) {
    int code = rusm__kv_key_check(bucket, key, out_len, error);
    if (code < 0)
        return code;
    out[0] = (unsigned char)(bucket.len >> 8);
    out[1] = (unsigned char)bucket.len;
    if (bucket.len)
        memcpy(out + RUSM__KV_BUCKET_PREFIX, bucket.ptr, bucket.len);
    if (key.len)
        memcpy(out + RUSM__KV_BUCKET_PREFIX + bucket.len, key.ptr, key.len);
    return RUSM_OK;
}

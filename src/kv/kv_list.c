/* SPDX-License-Identifier: MIT */
/* The keys of a bucket: all of them, or page by page. Keys whose time is over are passed by. */
#include "kv/kv_impl.h"

#include <string.h>

#include "rusm/error.h"

#include "base/mem.h"

/* How many entries one page looks at, so that expired ones cannot make it long. */
enum { PAGE_LOOKS = 16 * 1024 };

/* After how many entries a list asks whether it is still wanted. */
enum { LOOKS_BETWEEN = 1024 };

/* Walks the keys that begin with a prefix (that of the bucket, or longer), in order. */
struct walk {
    MDB_cursor *cursor;
    const unsigned char *prefix;
    size_t prefix_len;
    const unsigned char *start; /* the first key is not less than this */
    size_t start_len;
    bool begun;
    size_t bucket_len; /* what is cut off each key */
    uint64_t now_ms;   /* one moment for the whole walk: what is counted is what is copied */
    size_t looks;      /* entries so far */
};

/* 0: the next entry's key is in *out_key, the bucket cut off, and *out_over says whether its time
 * is over. MDB_NOTFOUND: there are no more. */
static int walk_entry(struct walk *walk, MDB_val *out_key, bool *out_over) {
    MDB_val value;
    struct rusm__kv_stored stored;
    *out_key = rusm__kv_val(walk->start, walk->start_len);
    int mdb = mdb_cursor_get(walk->cursor, out_key, &value, walk->begun ? MDB_NEXT : MDB_SET_RANGE);
    walk->begun = true;
    if (mdb)
        return mdb;
    if (out_key->mv_size < walk->prefix_len ||
        memcmp(out_key->mv_data, walk->prefix, walk->prefix_len) != 0)
        return MDB_NOTFOUND;
    /* An unknown form is a key like others; reading its value tells. */
    *out_over = rusm__kv_value_read(&value, &stored, NULL) == 0 && stored.over_ms &&
                stored.over_ms <= walk->now_ms;
    out_key->mv_data = (unsigned char *)out_key->mv_data + walk->bucket_len;
    out_key->mv_size -= walk->bucket_len;
    return 0;
}

/* ---- lists ---- */

struct list {
    size_t most;
    const struct rusm__kv_patience *patience;
    struct rusm__kv_keys *out_keys;
};

/* The next key that is not over; RUSM_ENOTFOUND: there is none. */
static int next_key(struct walk *walk, const struct rusm__kv_patience *patience, MDB_val *out_key,
                    struct rusm__kv_error *error) {
    bool over = true;
    while (over) {
        int mdb = walk_entry(walk, out_key, &over);
        if (mdb == MDB_NOTFOUND)
            return RUSM_ENOTFOUND;
        if (mdb)
            return rusm__kv_fail_mdb(error, "reading the store", mdb);
        walk->looks++;
        if (patience->max_looks && walk->looks > patience->max_looks)
            return rusm__kv_fail(error, RUSM_EAGAIN, "the bucket has more than %zu keys",
                                 patience->max_looks);
        if (patience->is_wanted && walk->looks % LOOKS_BETWEEN == 0 &&
            !patience->is_wanted(patience->arg))
            return rusm__kv_fail(error, RUSM_EEXITING, "nobody wants the list any more");
    }
    return RUSM_OK;
}

/* How many keys there are and how many bytes they have; stops when they pass the limit. */
static int measure(struct walk walk, const struct list *list, size_t *out_count, size_t *out_bytes,
                   struct rusm__kv_error *error) {
    MDB_val key;
    int result;
    *out_count = *out_bytes = 0;
    while ((result = next_key(&walk, list->patience, &key, error)) == RUSM_OK) {
        *out_count += 1;
        *out_bytes += key.mv_size;
        if (*out_bytes > list->most ||
            *out_count > (list->most - *out_bytes) / sizeof(struct rusm__kv_bytes))
            return rusm__kv_fail(error, RUSM_ETOOBIG,
                                 "the bucket has more keys than one list may return "
                                 "(%zu bytes with all overhead)",
                                 list->most);
    }
    return result == RUSM_ENOTFOUND ? RUSM_OK : result;
}

/* Copy what measure has counted: the transaction sees the same keys. */
static int collect(struct walk walk, const struct list *list, size_t count,
                   struct rusm__kv_bytes *keys, struct rusm__kv_error *error) {
    unsigned char *at = (unsigned char *)(keys + count);
    MDB_val key;
    for (size_t i = 0; i < count; i++) {
        int result = next_key(&walk, list->patience, &key, error);
        if (result < 0)
            return result;
        memcpy(at, key.mv_data, key.mv_size);
        keys[i] = (struct rusm__kv_bytes){.ptr = at, .len = key.mv_size};
        at += key.mv_size;
    }
    return RUSM_OK;
}

static int list_all(struct walk *walk, void *arg, struct rusm__kv_error *error) {
    struct list *list = arg;
    size_t count, bytes;
    int result = measure(*walk, list, &count, &bytes, error);
    if (result < 0)
        return result;
    size_t size = count * sizeof *list->out_keys->keys + bytes;
    struct rusm__kv_bytes *keys = rusm__mem_try_alloc(size ? size : 1);
    if (!keys)
        return rusm__kv_fail(error, RUSM_ENOMEM, "out of memory for a list of %zu keys", count);
    result = collect(*walk, list, count, keys, error);
    if (result < 0) {
        rusm__mem_free(keys);
        return result;
    }
    *list->out_keys = (struct rusm__kv_keys){.keys = keys, .count = count};
    return RUSM_OK;
}

typedef int (*walk_fn)(struct walk *walk, void *arg, struct rusm__kv_error *error);

/* Call fn with a walk that has its cursor. */
static int with_cursor(struct rusm__kv_reader *reader, struct walk *walk, walk_fn fn, void *arg,
                       struct rusm__kv_error *error) {
    int result = rusm__kv_read_begin(reader, error);
    if (result < 0)
        return result;
    walk->now_ms = rusm__kv_now_ms();
    int mdb = mdb_cursor_open(reader->txn, reader->kv->dbi, &walk->cursor);
    if (mdb) {
        result = rusm__kv_fail_mdb(error, "reading the store", mdb);
    } else {
        result = fn(walk, arg, error);
        mdb_cursor_close(walk->cursor);
    }
    rusm__kv_read_end(reader);
    return result;
}

int rusm__kv_list_within(struct rusm__kv_reader *reader, struct rusm__kv_bytes bucket,
                         const struct rusm__kv_patience *patience, struct rusm__kv_keys *out_keys,
                         struct rusm__kv_error *out_error) {
    unsigned char prefix[RUSM__KV_LMDB_KEY_BYTES];
    struct walk walk = {.prefix = prefix, .start = prefix};
    struct list list = {
        .most = reader->kv->options.max_list_bytes, .patience = patience, .out_keys = out_keys};
    *out_keys = (struct rusm__kv_keys){0};
    int result = rusm__kv_key_encode(bucket, (struct rusm__kv_bytes){0}, prefix, &walk.prefix_len,
                                     out_error);
    if (result < 0)
        return result;
    walk.start_len = walk.bucket_len = walk.prefix_len;
    return with_cursor(reader, &walk, list_all, &list, out_error);
}

int rusm__kv_list(struct rusm__kv_reader *reader, struct rusm__kv_bytes bucket,
                  struct rusm__kv_keys *out_keys, struct rusm__kv_error *out_error) {
    static const struct rusm__kv_patience endless;
    return rusm__kv_list_within(reader, bucket, &endless, out_keys, out_error);
}

/* ---- pages ---- */

struct page {
    size_t limit;
    bool skip_start; /* the walk starts with a key that the page does not want */
    struct rusm__kv_keys *out_keys;
    bool *out_more;
    /* One block: room for limit + 1 keys, then their bytes. */
    struct rusm__kv_bytes *keys;
    unsigned char *at;
    size_t count;
};

static void page_put(struct page *page, size_t index, const MDB_val *key) {
    memcpy(page->at, key->mv_data, key->mv_size);
    page->keys[index] = (struct rusm__kv_bytes){.ptr = page->at, .len = key->mv_size};
    page->at += key->mv_size;
}

/* Fill the page from the walk; `more` when it ended before the walk did. The key that leads on is
 * the last one looked at. */
static int page_fill(struct walk *walk, struct page *page, struct rusm__kv_error *error) {
    MDB_val key;
    bool over;
    int mdb = 0;
    for (size_t looks = 0; looks < PAGE_LOOKS; looks++) {
        mdb = walk_entry(walk, &key, &over);
        if (mdb)
            break;
        bool is_start = page->skip_start && looks == 0 &&
                        key.mv_size == walk->start_len - walk->bucket_len &&
                        memcmp(key.mv_data, walk->start + walk->bucket_len, key.mv_size) == 0;
        if (!over && !is_start)
            page_put(page, page->count++, &key);
        if (page->count == page->limit || looks + 1 == PAGE_LOOKS) {
            *page->out_more = true;
            page_put(page, page->count, &key);
            return RUSM_OK;
        }
    }
    return mdb == MDB_NOTFOUND ? RUSM_OK : rusm__kv_fail_mdb(error, "reading the store", mdb);
}

static int page_all(struct walk *walk, void *arg, struct rusm__kv_error *error) {
    struct page *page = arg;
    size_t slots = page->limit + 1;
    page->keys = rusm__mem_try_alloc(slots * (sizeof page->keys[0] + RUSM__KV_MAX_KEY_BYTES));
    if (!page->keys)
        return rusm__kv_fail(error, RUSM_ENOMEM, "out of memory for a page of %zu keys",
                             page->limit);
    page->at = (unsigned char *)&page->keys[slots];
    int result = page_fill(walk, page, error);
    if (result < 0)
        rusm__mem_free(page->keys);
    else
        *page->out_keys = (struct rusm__kv_keys){.keys = page->keys, .count = page->count};
    return result;
}

static bool is_less(const struct walk *walk, size_t bucket_len, struct rusm__kv_bytes key) {
    const unsigned char *prefix = walk->prefix + bucket_len;
    size_t prefix_len = walk->prefix_len - bucket_len;
    size_t both = key.len < prefix_len ? key.len : prefix_len;
    int order = both ? memcmp(key.ptr, prefix, both) : 0;
    return order < 0 || (order == 0 && key.len < prefix_len);
}

int rusm__kv_page(struct rusm__kv_reader *reader, const struct rusm__kv_range *range,
                  struct rusm__kv_keys *out_keys, bool *out_more,
                  struct rusm__kv_error *out_error) {
    unsigned char prefix[RUSM__KV_LMDB_KEY_BYTES], start[RUSM__KV_LMDB_KEY_BYTES];
    struct walk walk = {.prefix = prefix, .start = prefix};
    struct page page = {.limit = range->limit, .out_keys = out_keys, .out_more = out_more};
    *out_keys = (struct rusm__kv_keys){0};
    *out_more = false;
    int result =
        rusm__kv_key_encode(range->bucket, range->prefix, prefix, &walk.prefix_len, out_error);
    if (result == RUSM_OK && range->after)
        result =
            rusm__kv_key_encode(range->bucket, *range->after, start, &walk.start_len, out_error);
    if (result < 0)
        return result;
    walk.bucket_len = RUSM__KV_BUCKET_PREFIX + range->bucket.len;
    page.skip_start = range->after && !is_less(&walk, walk.bucket_len, *range->after);
    if (page.skip_start)
        walk.start = start;
    else
        walk.start_len = walk.prefix_len;
    if (page.limit == 0 || page.limit > RUSM__KV_PAGE_KEYS)
        page.limit = RUSM__KV_PAGE_KEYS;
    return with_cursor(reader, &walk, page_all, &page, out_error);
}

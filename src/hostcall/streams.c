/* SPDX-License-Identifier: MIT */
/* streams: byte streams between guests. The core knows an end by a handle; a guest knows it by an
 * id that counts from 0 per process. The table between the two holds what is open.
 *
 * Waiting: a poll that finds no room, no chunk or no offer answers PENDING. The core then wakes the
 * process once it is worth asking again; what wakes it for another reason just asks again too.
 *
 * A chunk is copied once out of the writer's memory and once into the reader's; between the two it
 * is handed over by pointer. */
#include "hostcall/hostcall_impl.h"

#include <string.h>

#include "rusm/error.h"

#include "base/mem.h"

#define FIRST_CAP 4u

/* ---- the table ---- */

/* NULL: it never had an end. */
static struct rusm__guest_streams *streams_of(struct rusm__guest *guest) {
    return rusm__calls_of(guest)->streams;
}

static struct rusm__guest_end *find(struct rusm__guest_streams *streams, uint64_t id) {
    struct rusm__guest_end *end =
        streams ? rusm__find_sorted(streams->items, streams->count, sizeof(*end), id) : NULL;
    return end && end->end ? end : NULL;
}

/* The core's handle; 0: no such end. */
static rusm_stream end_of(struct rusm__guest *guest, uint64_t id) {
    const struct rusm__guest_end *end = find(streams_of(guest), id);
    return end ? end->end : 0;
}

/* Keep what is open, in order. */
static void sweep(struct rusm__guest_streams *streams) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < streams->count; i++)
        if (streams->items[i].end)
            streams->items[kept++] = streams->items[i];
    streams->count = kept;
}

/* A table of twice the size; the first one where there is none. */
static bool enlarge(struct rusm__guest_streams **streams) {
    uint32_t cap = *streams ? 2 * (*streams)->cap : FIRST_CAP;
    size_t bytes = sizeof(**streams) + cap * sizeof((*streams)->items[0]);
    struct rusm__guest_streams *larger = rusm__mem_try_realloc(*streams, bytes);
    if (!larger)
        return false;
    if (!*streams)
        *larger = (struct rusm__guest_streams){0};
    larger->cap = cap;
    *streams = larger;
    return true;
}

/* Room for one more end. The table grows when half of it is open, so that a sweep pays for itself.
 */
static bool make_room(struct rusm__guest_streams **table) {
    struct rusm__guest_streams *streams = *table;
    if (!streams)
        return enlarge(table);
    if (streams->count < streams->cap)
        return true;
    sweep(streams);
    bool has_room = streams->count < streams->cap;
    return streams->count < streams->cap / 2 || enlarge(table) || has_room;
}

static uint64_t add(struct rusm__guest_streams *streams, rusm_stream end) {
    uint64_t id = streams->next_id++;
    streams->items[streams->count++] = (struct rusm__guest_end){id, end};
    return id;
}

/* What both ways to a new end need first: room in the table and, once per process, the limit. */
static int prepare(struct rusm__guest *guest) {
    if (!make_room(&rusm__calls_of(guest)->streams))
        return RUSM_ENOMEM;
    struct rusm__guest_streams *streams = streams_of(guest);
    if (!streams->is_limited) {
        int code = rusm_stream_set_limit(guest->proc, guest->profile->max_streams);
        if (code < 0)
            return code;
        streams->is_limited = true;
    }
    return rusm__ledger_fits(guest, RUSM__WEIGHT_STREAM_END) ? RUSM_OK : RUSM_ETOOBIG;
}

static uint32_t refuse(struct rusm__guest *guest, int code) {
    if (code == RUSM_ETOOBIG)
        return rusm__ledger_trap(guest, RUSM__WEIGHT_STREAM_END);
    if (code == RUSM_ELIMIT)
        return rusm__hostcall_trap(
            guest, "%u ends of streams are open, the limit of `max-streams` under [%s.%s]",
            guest->profile->max_streams, RUSM__LIMITS_TABLE(guest->profile));
    return rusm__hostcall_trap(guest, "no stream: %s", rusm_error_text(code));
}

/* ---- open, accept, close ---- */

/* A mailbox that has no room for an offer looks like a process that is gone: the contract knows no
 * other answer, and nobody is ended by what another one does. */
uint32_t rusm__guest_stream_open(struct rusm__guest *guest, uint64_t to, uint64_t *out_id) {
    static const rusm_stream_options options = {.size = sizeof(options), .large_alone = true};
    rusm_stream end = 0;
    int code = prepare(guest);
    if (code == RUSM_OK)
        code = rusm_stream_open(guest->proc, to, &options, &end);
    bool full =
        code == RUSM_EFULL || code == RUSM_ETOOBIG; /* its mailbox holds less than it weighs */
    if (full)
        rusm__gate_full(guest, "a stream", to);
    if (code == RUSM_ENOPROC || full)
        return RUSM__CALL_NONE;
    if (code < 0)
        return refuse(guest, code);
    *out_id = add(streams_of(guest), end);
    return RUSM__CALL_OK;
}

uint32_t rusm__guest_stream_accept_poll(struct rusm__guest *guest, uint64_t *out_id) {
    rusm_stream end;
    int code = prepare(guest);
    if (code == RUSM_OK)
        code = rusm_stream_try_accept(guest->proc, &end, NULL);
    if (code == RUSM_EAGAIN) {
        rusm__guest_rests(guest);
        return RUSM__CALL_PENDING;
    }
    if (code < 0)
        return refuse(guest, code);
    rusm__guest_received(guest, true);
    *out_id = add(streams_of(guest), end);
    return RUSM__CALL_OK;
}

static void forget(struct rusm__guest *guest, struct rusm__guest_end *end) {
    rusm_stream_close(guest->proc, end->end);
    end->end = 0;
}

static bool is_writer(struct rusm__guest *guest, const struct rusm__guest_end *end) {
    rusm_stream_info info = {.size = sizeof(info)};
    return rusm_stream_get_info(guest->proc, end->end, &info) == RUSM_OK && info.is_writer;
}

void rusm__guest_stream_close(struct rusm__guest *guest, uint64_t id) {
    struct rusm__guest_end *end = find(streams_of(guest), id);
    if (end && is_writer(guest, end))
        forget(guest, end);
}

/* ---- write ---- */

/* Small chunks are bounded by the streams; a large one passes alone in each of them, so all of them
 * together are bounded here. */
static bool is_too_much(struct rusm__guest *guest, size_t len) {
    rusm_stream_usage usage = {.size = sizeof(usage)};
    if (len <= RUSM_STREAM_BYTES)
        return false;
    rusm_stream_get_usage(guest->proc, &usage);
    return usage.written_bytes + len > rusm__mailbox_bytes_of(guest);
}

static uint32_t check(struct rusm__guest *guest, size_t len) {
    if (len > guest->profile->max_message_bytes)
        return rusm__hostcall_trap(
            guest,
            "a chunk of %zu bytes is over the limit of %llu (`max-message-bytes` under "
            "[%s.%s])",
            len, (unsigned long long)guest->profile->max_message_bytes,
            RUSM__LIMITS_TABLE(guest->profile));
    if (!rusm__ledger_fits(guest, len))
        return rusm__ledger_trap(guest, len);
    if (is_too_much(guest, len))
        return rusm__hostcall_trap(
            guest,
            "with a chunk of %zu bytes its streams would hold more than %llu "
            "that nobody has read (`mailbox-bytes` under [%s.%s])",
            len, (unsigned long long)rusm__mailbox_bytes_of(guest),
            RUSM__LIMITS_TABLE(guest->profile));
    streams_of(guest)->wrote_large |= len > RUSM_STREAM_BYTES;
    return RUSM__CALL_PENDING;
}

static uint32_t copy(struct rusm__guest *guest, rusm_stream end, struct rusm__slice bytes,
                     rusm_chunk **out_chunk) {
    int code = rusm_stream_chunk(guest->proc, end, bytes.len, out_chunk);
    if (code == RUSM_EINVAL) /* an end to read from */
        return RUSM__CALL_NONE;
    if (code < 0)
        return rusm__hostcall_trap(guest, "a chunk of %zu bytes: %s", bytes.len,
                                   rusm_error_text(code));
    if (bytes.len)
        memcpy(rusm_chunk_data(*out_chunk), bytes.ptr, bytes.len);
    return RUSM__CALL_PENDING;
}

/* The bytes are valid now only, so they are copied before it is known whether there is room. */
void rusm__guest_stream_write_begin(struct rusm__guest *guest, uint64_t id,
                                    struct rusm__slice chunk) {
    struct rusm__guest_streams *streams = streams_of(guest);
    rusm_stream end = end_of(guest, id);
    if (!streams)
        return; /* which the poll finds out too */
    rusm_chunk_free(streams->chunk);
    streams->chunk = NULL;
    streams->id = id;
    streams->answer = end ? check(guest, chunk.len) : RUSM__CALL_NONE;
    if (streams->answer == RUSM__CALL_PENDING)
        streams->answer = copy(guest, end, chunk, &streams->chunk);
}

uint32_t rusm__guest_stream_write_poll(struct rusm__guest *guest) {
    struct rusm__guest_streams *streams = streams_of(guest);
    if (!streams)
        return RUSM__CALL_NONE;
    if (streams->answer != RUSM__CALL_PENDING)
        return streams->answer;
    struct rusm__guest_end *end = find(streams, streams->id);
    int code = rusm_stream_try_write(guest->proc, end->end, streams->chunk);
    if (code == RUSM_EAGAIN)
        return RUSM__CALL_PENDING;
    if (code < 0) {
        rusm_chunk_free(streams->chunk);
        forget(guest, end); /* nobody reads: it was of no more use */
    }
    streams->chunk = NULL;
    streams->answer = code < 0 ? RUSM__CALL_NONE : RUSM__CALL_OK;
    return streams->answer;
}

/* ---- read ---- */

void rusm__guest_stream_read_begin(struct rusm__guest *guest, uint64_t id) {
    struct rusm__guest_streams *streams = streams_of(guest);
    if (streams)
        streams->id = id;
}

/* The end of the stream, in whatever way it came, uses the id up. */
uint32_t rusm__guest_stream_read_poll(struct rusm__guest *guest, struct rusm__bytes *out_chunk) {
    struct rusm__guest_streams *streams = streams_of(guest);
    struct rusm__guest_end *end = streams ? find(streams, streams->id) : NULL;
    rusm_chunk *chunk = NULL;
    int code = end ? rusm_stream_try_read(guest->proc, end->end, &chunk) : RUSM_EINVAL;
    if (code == RUSM_EAGAIN)
        return RUSM__CALL_PENDING;
    if (code == RUSM_ECLOSED || code == RUSM_ECRASHED)
        forget(guest, end);
    if (code < 0)
        return RUSM__CALL_NONE;
    *out_chunk = (struct rusm__bytes){rusm_chunk_data(chunk), rusm_chunk_len(chunk),
                                      rusm__owner_of_chunk(chunk)};
    return RUSM__CALL_OK;
}

/* ---- the end ---- */

/* The ends themselves go with the process, which says to the other sides how it ended. */
void rusm__guest_streams_end(struct rusm__guest *guest) {
    struct rusm__guest_streams *streams = streams_of(guest);
    if (streams)
        rusm_chunk_free(streams->chunk);
    rusm__mem_free(streams);
}

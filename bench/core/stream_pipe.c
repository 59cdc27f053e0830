/* SPDX-License-Identifier: MIT */
/* stream-pipe: bytes per second through byte streams in chunks of 4 KiB, from a writer to a reader,
 * for a number of pairs. The bytes are really made and looked at: the writer copies each chunk from
 * a buffer of its own, the reader adds its words up. Bounds are the defaults.
 *
 * Beside it what copying alone comes to, by a process on each thread that has a pair, in the same
 * chunks: stream-pipe-memcpy between areas of 32 MiB, as memory allows, and
 * stream-pipe-memcpy-cached from one chunk into as many buffers as a stream holds, as the first
 * level of the cache allows. And the first divided by each, as stream-pipe-share and
 * stream-pipe-share-cached. */
#include <stdlib.h>
#include <string.h>

#include "rusm/error.h"
#include "rusm/stream.h"

#include "bench.h"

enum { CHUNK_BYTES = 4096, WORDS = CHUNK_BYTES / 8, TURN = 64 };

struct reader {
    BENCH_OWN_LINE struct bench *bench;
    rusm_stream stream; /* 0: not accepted yet */
    uint64_t chunks;
    uint64_t sum;
};

struct writer {
    BENCH_OWN_LINE struct bench *bench;
    rusm_pid reader;
    rusm_stream stream;  /* 0: not opened yet */
    rusm_chunk *refused; /* filled, and to be written first */
    BENCH_OWN_LINE uint64_t source[WORDS];
};

struct pipes {
    struct reader *readers;
    struct writer *writers;
    struct copier *copiers;
    uint64_t copier_count;
};

/* ---- readers ---- */

/* Two words at a time, four such sums side by side: as fast as memory is read, not as adding is. */
typedef uint64_t twin __attribute__((vector_size(16)));

static void add_up(struct reader *reader, rusm_chunk *chunk) {
    const twin *twins = (const twin *)(const void *)rusm_chunk_data(chunk);
    twin sums[4] = {{0}};
    for (unsigned i = 0; i < WORDS / 2; i += 4) {
        sums[0] += twins[i];
        sums[1] += twins[i + 1];
        sums[2] += twins[i + 2];
        sums[3] += twins[i + 3];
    }
    twin sum = sums[0] + sums[1] + sums[2] + sums[3];
    reader->sum += sum[0] + sum[1];
    reader->chunks++;
}

static rusm_step reader_step(rusm_proc *self, void *body) {
    struct reader *reader = body;
    int status = reader->stream ? RUSM_OK : rusm_stream_try_accept(self, &reader->stream, NULL);
    for (unsigned i = 0; i < TURN && status == RUSM_OK; i++) {
        rusm_chunk *chunk;
        status = rusm_stream_try_read(self, reader->stream, &chunk);
        if (status == RUSM_OK) {
            add_up(reader, chunk);
            rusm_stream_recycle(self, reader->stream, chunk);
        }
    }
    if (status == RUSM_ECLOSED) {
        return RUSM_STEP_EXIT;
    }
    bench_check(status == RUSM_EAGAIN ? RUSM_OK : status, "read");
    return status == RUSM_EAGAIN ? RUSM_STEP_WAIT : RUSM_STEP_AGAIN;
}

static void reader_main(rusm_proc *self, void *arg) {
    struct reader *reader = arg;
    rusm_chunk *chunk;
    int status;
    bench_check(rusm_stream_accept(self, RUSM_FOREVER, &reader->stream, NULL), "accept");
    while ((status = rusm_stream_read(self, reader->stream, RUSM_FOREVER, &chunk)) == RUSM_OK) {
        add_up(reader, chunk);
        rusm_stream_recycle(self, reader->stream, chunk);
    }
    bench_check(status == RUSM_ECLOSED ? RUSM_OK : status, "read");
}

static const struct bench_body reader = {.ops = {.name = "reader", .step = reader_step},
                                         .main = reader_main};

/* ---- writers ---- */

static rusm_chunk *next_chunk(rusm_proc *self, struct writer *writer) {
    rusm_chunk *chunk = writer->refused;
    writer->refused = NULL;
    if (!chunk) {
        bench_check(rusm_stream_chunk(self, writer->stream, CHUNK_BYTES, &chunk), "chunk");
        memcpy(rusm_chunk_data(chunk), writer->source, CHUNK_BYTES);
    }
    return chunk;
}

static rusm_step writer_step(rusm_proc *self, void *body) {
    struct writer *writer = body;
    if (!writer->stream) {
        bench_check(rusm_stream_open(self, writer->reader, NULL, &writer->stream), "open");
    }
    for (unsigned i = 0; i < TURN; i++) {
        if (bench_is_over(writer->bench) && !writer->refused) {
            return RUSM_STEP_EXIT;
        }
        rusm_chunk *chunk = next_chunk(self, writer);
        int status = rusm_stream_try_write(self, writer->stream, chunk);
        if (status == RUSM_EAGAIN) {
            writer->refused = chunk;
            return RUSM_STEP_WAIT;
        }
        bench_check(status, "write");
    }
    return RUSM_STEP_AGAIN;
}

static void writer_main(rusm_proc *self, void *arg) {
    struct writer *writer = arg;
    bench_check(rusm_stream_open(self, writer->reader, NULL, &writer->stream), "open");
    while (!bench_is_over(writer->bench)) {
        rusm_chunk *chunk = next_chunk(self, writer);
        bench_check(rusm_stream_write(self, writer->stream, chunk, RUSM_FOREVER), "write");
    }
}

static const struct bench_body writer = {.ops = {.name = "writer", .step = writer_step},
                                         .main = writer_main};

static void start_pairs(struct bench *bench, void *arg) {
    struct pipes *pipes = arg;
    for (uint64_t i = 0; i < bench->size; i++) {
        pipes->readers[i] = (struct reader){.bench = bench};
        pipes->writers[i] = (struct writer){.bench = bench};
        for (unsigned word = 0; word < WORDS; word++) {
            pipes->writers[i].source[word] = i + word;
        }
        pipes->writers[i].reader = bench_spawn(bench, &reader, &pipes->readers[i], 0);
        bench_spawn(bench, &writer, &pipes->writers[i], 0);
    }
}

/* The end of the program unless every reader got what its writer had. */
static uint64_t chunks_of(struct bench *bench, const struct pipes *pipes) {
    uint64_t chunks = 0;
    for (uint64_t i = 0; i < bench->size; i++) {
        const struct reader *at = &pipes->readers[i];
        uint64_t sum = i * WORDS + (uint64_t)WORDS * (WORDS - 1) / 2;
        bench_check(at->sum == at->chunks * sum ? RUSM_OK : RUSM_EIO, "the sum of a stream");
        chunks += at->chunks;
    }
    return chunks;
}

/* ---- copying alone ---- */

enum { AREA_CHUNKS = 32 * 1024 * 1024 / CHUNK_BYTES };

struct copier {
    BENCH_OWN_LINE struct bench *bench;
    unsigned char *from, *to;
    uint64_t from_chunks, to_chunks; /* copied from and to in turn */
    uint64_t chunks;
};

static rusm_step copier_step(rusm_proc *self, void *body) {
    struct copier *copier = body;
    (void)self;
    for (unsigned i = 0; i < TURN; i++) {
        uint64_t at = copier->chunks++;
        unsigned char *to = copier->to + at % copier->to_chunks * CHUNK_BYTES;
        memcpy(to, copier->from + at % copier->from_chunks * CHUNK_BYTES, CHUNK_BYTES);
        __asm__ volatile("" : : "r"(to) : "memory"); /* somebody may read it */
    }
    return bench_is_over(copier->bench) ? RUSM_STEP_EXIT : RUSM_STEP_AGAIN;
}

static const struct bench_body copier = {.ops = {.name = "copier", .step = copier_step}};

static void start_copiers(struct bench *bench, void *arg) {
    struct pipes *pipes = arg;
    for (uint64_t i = 0; i < pipes->copier_count; i++) {
        pipes->copiers[i].chunks = 0;
        bench_spawn(bench, &copier, &pipes->copiers[i], 0);
    }
}

static void prepare_copiers(struct bench *bench, struct pipes *pipes, uint64_t from, uint64_t to) {
    for (uint64_t i = 0; i < pipes->copier_count; i++) {
        struct copier *at = &pipes->copiers[i];
        *at = (struct copier){.bench = bench, .from_chunks = from, .to_chunks = to};
        at->from = bench_alloc(from, CHUNK_BYTES);
        at->to = bench_alloc(to, CHUNK_BYTES);
        memset(at->from, 1, from * CHUNK_BYTES);
        memset(at->to, 2, to * CHUNK_BYTES);
    }
}

static double measure_copying(struct bench *bench, struct pipes *pipes, uint64_t from,
                              uint64_t to) {
    double bytes = 0;
    prepare_copiers(bench, pipes, from, to);
    bench_phase(bench, bench->seconds / 8, start_copiers, pipes);
    struct bench_span span = bench_phase(bench, bench->seconds / 4, start_copiers, pipes);
    for (uint64_t i = 0; i < pipes->copier_count; i++) {
        bytes += (double)pipes->copiers[i].chunks * CHUNK_BYTES;
        free(pipes->copiers[i].from);
        free(pipes->copiers[i].to);
    }
    return bytes / span.seconds;
}

/* ---- the scenario ---- */

static void report(struct bench *bench, const char *suffix, double value, const char *unit) {
    bench_report(bench, &(struct bench_result){.suffix = suffix, .value = value, .unit = unit});
}

static void run(struct bench *bench) {
    struct pipes pipes = {.readers = bench_alloc(bench->size, sizeof(struct reader)),
                          .writers = bench_alloc(bench->size, sizeof(struct writer)),
                          .copier_count =
                              bench->size < bench->threads ? bench->size : bench->threads};
    pipes.copiers = bench_alloc(pipes.copier_count, sizeof(struct copier));
    struct bench_span span = bench_measure(bench, start_pairs, &pipes);
    double chunks = (double)chunks_of(bench, &pipes);
    double rate = chunks * CHUNK_BYTES / span.seconds;
    double copying = measure_copying(bench, &pipes, AREA_CHUNKS, AREA_CHUNKS);
    double cached = measure_copying(bench, &pipes, 1, RUSM_STREAM_CHUNKS);
    /* cpu_ns is of a chunk, the value of its bytes */
    bench_report(bench, &(struct bench_result){
                            .value = rate, .unit = "bytes/s", .operations = chunks, .span = span});
    report(bench, "-memcpy", copying, "bytes/s");
    report(bench, "-memcpy-cached", cached, "bytes/s");
    report(bench, "-share", rate / copying, "x");
    report(bench, "-share-cached", rate / cached, "x");
    free(pipes.readers);
    free(pipes.writers);
    free(pipes.copiers);
}

int main(int argc, char **argv) {
    return bench_main(argc, argv,
                      &(struct bench_scenario){
                          .name = "stream-pipe", .size_name = "pairs", .size = 1, .run = run});
}

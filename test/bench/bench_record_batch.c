/* What the record batch codec costs: ns per record to build, iterate and verify, ns per batch to patch, and
 * MB/s of each compression, best of several rounds. One line per figure; judged by people, not by ctest.
 *
 * Usage: bench_record_batch [value bytes [records per batch]] */
#include "base/clock.h"
#include "wire/compression.h"
#include "wire/record_batch_small.h"

#include <stdio.h>
#include <stdlib.h>

#define ROUNDS       15
#define ROUND_NS_MIN 20000000u

struct bench {
    struct record_batch_builder builder;
    struct buffer compressed, scratch;
    struct slice batch;
    struct record record;
    int record_count;
};

static void require(bool ok)
{
    if (ok) return;
    fprintf(stderr, "bench_record_batch: unexpected failure\n");
    exit(1);
}

static void build(struct bench *bench)
{
    record_batch_builder_clear(&bench->builder);
    for (int i = 0; i < bench->record_count; i++) {
        bench->record.timestamp_ms++;
        if (record_batch_builder_add(&bench->builder, &bench->record) != 0) require(false);
    }
}

/* As libmesh does it: records that come one behind the other, a few in each millisecond. */
static void build_small(struct bench *bench)
{
    struct record *record = &bench->record;

    record_batch_builder_clear(&bench->builder);
    for (int i = 0; i < bench->record_count; i++) {
        record->timestamp_ms += (i & 1023) == 0;
        if (!record_batch_builder_add_small(&bench->builder, record->timestamp_ms, record->key, true,
                                            record->value, false) &&
            record_batch_builder_add(&bench->builder, record) != 0)
            require(false);
    }
}

static void finish(struct bench *bench)
{
    const struct record_batch_producer producer = {1, 0, 0};

    require(record_batch_builder_finish(&bench->builder, &producer, 0, RECORD_COMPRESSION_NONE, NULL,
                                        &bench->batch) == 0);
}

static void iterate(struct bench *bench)
{
    struct record_iterator iterator;
    struct record record;
    size_t bytes = 0;

    require(record_iterator_init(&iterator, bench->batch, NULL, 0) == 0);
    while (record_iterator_next(&iterator, &record) == 1)
        bytes += record.value.size;
    require(bytes == bench->record.value.size * (size_t)bench->record_count);
}

static void verify(struct bench *bench)
{
    struct record_batch_header header;

    require(record_batch_verify_produced(bench->batch, UINT32_MAX, &header) == 0);
}

static void append_time(struct bench *bench)
{
    record_batch_set_append_time((uint8_t *)(uintptr_t)bench->batch.data, 1700000000000);
}

/* Runs `step` in rounds and prints the best round, per `unit` of which a step does `units`. */
static double measure(struct bench *bench, void (*step)(struct bench *bench), double units)
{
    double best = 1e300;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = clock_monotonic_ns(), now, steps = 0;
        do {
            step(bench);
            steps++;
            now = clock_monotonic_ns();
        } while (now - start < ROUND_NS_MIN);
        if ((double)(now - start) / (double)steps < best) best = (double)(now - start) / (double)steps;
    }
    return best / units;
}

static enum record_compression codec;

static void compress(struct bench *bench)
{
    buffer_clear(&bench->compressed);
    require(compression_compress(codec, bench->batch, &bench->compressed) == 0);
}

static void decompress(struct bench *bench)
{
    buffer_clear(&bench->scratch);
    require(compression_decompress(codec, buffer_slice(&bench->compressed), bench->batch.size,
                                   &bench->scratch) == 0);
}

static void fill_with_text(uint8_t *to, size_t size)
{
    static const char *const words[] = {"order ",  "customer ", "shipped ", "2026-11-21 ",
                                        "amount=", "EUR ",      "4711 ",    "\n"};
    uint32_t seed = 1;

    for (size_t i = 0; i < size;) {
        const char *word = words[(seed = seed * 1664525 + 1013904223) >> 29];
        for (; *word != '\0' && i < size; word++)
            to[i++] = (uint8_t)*word;
    }
}

int main(int argc, char **argv)
{
    size_t value_size = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    struct bench bench = {.record_count = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1000};
    uint8_t *value = malloc(value_size + 1);

    require(value != NULL && bench.record_count > 0);
    fill_with_text(value, value_size);
    bench.record =
        (struct record){.timestamp_ms = 1700000000000, .key_is_null = true, .value = {value, value_size}};
    record_batch_builder_init(&bench.builder);
    printf("%d records of %zu bytes per batch\n", bench.record_count, value_size);
    printf("build               %8.1f ns per record\n", measure(&bench, build, bench.record_count));
    printf("build, small ones   %8.1f ns per record, their CRC included\n",
           measure(&bench, build_small, bench.record_count));
    printf("finish after that   %8.1f ns per record\n", measure(&bench, finish, bench.record_count));
    build(&bench);
    printf("finish, with CRC    %8.1f ns per record\n", measure(&bench, finish, bench.record_count));
    printf("iterate             %8.1f ns per record\n", measure(&bench, iterate, bench.record_count));
    printf("verify              %8.1f ns per record (%.1f us per batch of %zu bytes)\n",
           measure(&bench, verify, bench.record_count), measure(&bench, verify, 1000), bench.batch.size);
    printf("set append time     %8.1f ns per batch\n", measure(&bench, append_time, 1));
    for (codec = RECORD_COMPRESSION_GZIP; codec <= RECORD_COMPRESSION_ZSTD; codec++) {
        double ns = measure(&bench, compress, 1);
        printf("%-8s compress   %8.0f MB/s, to %.0f %%;", compression_name(codec),
               (double)bench.batch.size * 1e3 / ns,
               100.0 * (double)bench.compressed.size / (double)bench.batch.size);
        printf(" decompress %8.0f MB/s\n", (double)bench.batch.size * 1e3 / measure(&bench, decompress, 1));
    }
    record_batch_builder_deinit(&bench.builder);
    buffer_deinit(&bench.compressed);
    buffer_deinit(&bench.scratch);
    free(value);
    return 0;
}

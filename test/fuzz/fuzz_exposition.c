/* Fuzzes what `mesh top` reads: an answer to GET /metrics. Beyond "no crash, no read outside": samples lie in the text, in order, and a label that is found fits. */
#include "base/assert.h"
#include "cmd/cli/exposition.h"
#include "cmd/cli/scrape.h"
#include "cmd/cli/top_state.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_samples(struct slice text)
{
    const uint8_t *end = text.data + text.size, *last = text.data;
    struct exposition_sample sample;
    char value[8];

    while (exposition_next(&text, &sample)) {
        MESH_ASSERT(sample.name.size > 0 && sample.name.data >= last && sample.name.data + sample.name.size <= end);
        if (sample.labels.size > 0) MESH_ASSERT(sample.labels.data > sample.name.data && sample.labels.data + sample.labels.size < end);
        if (exposition_label(&sample, "topic", value, sizeof(value))) MESH_ASSERT(memchr(value, '\0', sizeof(value)) != NULL);
        last = sample.name.data + sample.name.size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size), body;
    struct top_look look;

    if (scrape_body(text, &body) == 0) MESH_ASSERT(body.data + body.size == data + size);
    check_samples(text);
    MESH_ASSERT(top_look_init(&look, 1, 0) == 0 && top_look_add(&look, 0, text) == 0);
    for (size_t i = 0; i < look.topic_count; i++)
        MESH_ASSERT(top_find_topic(&look, look.topics[i].name) == &look.topics[i]);
    for (size_t i = 1; i < look.brokers[0].acks.count; i++)
        MESH_ASSERT(look.brokers[0].acks.bounds_s[i - 1] < look.brokers[0].acks.bounds_s[i]);
    (void)top_quantile(&look.brokers[0].acks, &look.brokers[0].syncs, 0.99);
    top_look_deinit(&look);
    return 0;
}

/* Fuzzes the http door: bytes become requests, requests become answers.
 *
 * The first byte says how the bytes are cut into pieces. Beyond "no crash, no read outside": bytes are judged
 * alike in pieces and at once, every request gets exactly one answer, and no answer echoes what was asked
 * raw. */
#include "base/assert.h"
#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/front/http/router.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct image *image;
static struct metrics_shard shard;
static struct metrics_shard *shard_pointer = &shard;
static struct metrics_set set = {&shard_pointer, 1};
static struct http_server *server;

static const struct image *source_image(void *user)
{
    (void)user;
    return image;
}

static const char *source_not_ready(void *user)
{
    (void)user;
    return NULL;
}

static void source_facts(void *user, struct describe_facts *ret_facts)
{
    (void)user;
    ret_facts->coordinator = 1;
}

static void source_gather(void *user, http_gathered_fn *done, void *done_user)
{
    (void)user;
    done(done_user, &set);
}

static void set_up(void)
{
    struct http_source source = {.image = source_image,
                                 .not_ready = source_not_ready,
                                 .facts = source_facts,
                                 .gather = source_gather,
                                 .version = "fuzz"};
    struct http_options options;

    log_set_level(LOG_LEVEL_ERROR);
    http_options_init(&options);
    MESH_ASSERT(image_new_empty(&image) == 0);
    MESH_ASSERT(http_server_new(NULL, &options, &source, &server) ==
                0); /* no connection: no loop is touched */
}

static void answered(void *user, struct http_exchange *exchange)
{
    struct buffer out = BUFFER_INIT;

    ++*(int *)user;
    MESH_ASSERT(exchange->response.status >= 200 && exchange->response.status <= 505);
    MESH_ASSERT(http_response_write(&exchange->response, exchange->request.method == HTTP_HEAD,
                                    exchange->request.is_kept_alive, &out) == 0);
    for (size_t i = 0; i < out.size; i++)
        MESH_ASSERT(out.data[i] < 127 && (out.data[i] >= ' ' || out.data[i] == '\n' || out.data[i] == '\r'));
    buffer_deinit(&out);
    http_exchange_release(exchange);
}

static int read_in_pieces(struct http_request_reader *reader, struct slice bytes, size_t piece,
                          size_t *ret_used)
{
    int err = MESH_EAGAIN;
    size_t at = 0;

    http_request_reader_init(reader);
    while (at < bytes.size && err == MESH_EAGAIN) {
        size_t now = piece < bytes.size - at ? piece : bytes.size - at, used;
        err = http_request_read(reader, slice_of(bytes.data + at, now), &used);
        MESH_ASSERT(used <= now && (err != MESH_EAGAIN || used == now));
        at += used;
    }
    *ret_used = at;
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_request_reader whole, pieces;
    struct slice bytes = slice_of(data + 1, size > 0 ? size - 1 : 0);
    size_t used, used_in_pieces;

    if (server == NULL) set_up();
    while (bytes.size > 0) {
        int err = read_in_pieces(&whole, bytes, bytes.size, &used);
        int count = 0;
        MESH_ASSERT(read_in_pieces(&pieces, bytes, data[0] % 16 + 1u, &used_in_pieces) == err);
        if (err == MESH_EPROTO) MESH_ASSERT(whole.status >= 400 && http_request_problem(&whole)[0] != '\0');
        if (err != 0) return 0;
        MESH_ASSERT(used == used_in_pieces && strcmp(whole.request.target, pieces.request.target) == 0);
        struct http_exchange *exchange = http_exchange_new(server, &whole.request, answered, &count);
        if (exchange == NULL) return 0;
        http_exchange_start(exchange);
        MESH_ASSERT(count == 1);
        bytes = slice_of(bytes.data + used, bytes.size - used);
    }
    return 0;
}

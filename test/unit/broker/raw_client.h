/* A client that speaks frames and nothing else: blocking, without retries, so that tests see what the broker says. */
#ifndef TEST_RAW_CLIENT_H
#define TEST_RAW_CLIENT_H

#include "base/buffer.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

struct raw_client {
    int fd;
    uint32_t next_correlation_id;
    struct buffer in; /* received, not yet taken */
    uint32_t produce_timeout_ms;
};

/* One received frame; message and attachment are owned. */
struct raw_frame {
    struct frame_header header;
    struct buffer message, attachment;
    int error; /* of an error frame */
};

void raw_frame_deinit(struct raw_frame *frame);

void raw_connect(struct raw_client *client, uint16_t port); /* no hello */
void raw_close(struct raw_client *client);
void raw_send_bytes(struct raw_client *client, const void *bytes, size_t size);

/* Returns the correlation id. */
uint32_t raw_send(struct raw_client *client, uint16_t op, struct slice message, struct slice attachment);
/* false: the broker closed the connection (or, for a test that fails, said nothing for a long time). */
bool raw_receive(struct raw_client *client, struct raw_frame *ret_frame);
/* The next frame, which must answer this request without an error frame. */
void raw_expect(struct raw_client *client, uint32_t correlation_id, struct raw_frame *ret_frame);
/* The next frame must be an error frame; returns its code. */
int raw_expect_error(struct raw_client *client);

/* ---- requests ---- */

/* Connects and says hello for a shard (-1: any); returns the shard that answered. */
uint32_t raw_hello(struct raw_client *client, uint16_t port, int32_t shard);

struct uuid raw_topic_create(struct raw_client *client, const char *name, int32_t partitions, const char *config_key,
                             const char *config_value);
void raw_topic_delete(struct raw_client *client, const char *name);
/* The leader of each of the topic's first `count` partitions. False: the broker does not know the topic (yet). */
bool raw_topic_leaders(struct raw_client *client, const char *name, int32_t *ret_leaders, size_t count);

/* Record times are recent: retention goes by them. */
int64_t raw_now_ms(void);

/* A batch of count records with `value_size` bytes each. producer_id -1: none. Owned by the caller. */
struct buffer raw_batch(int count, size_t value_size, int64_t producer_id, int32_t base_sequence, int64_t timestamp_ms);

uint32_t raw_produce_send(struct raw_client *client, const struct uuid *topic_id, uint32_t partition,
                          const struct buffer *batch, int32_t acks);
struct produce_result raw_produce_result(struct raw_client *client, uint32_t correlation_id);
struct produce_result raw_produce(struct raw_client *client, const struct uuid *topic_id, uint32_t partition,
                                  const struct buffer *batch);

struct raw_fetch {
    uint32_t max_wait_ms, bytes_min, bytes_max;
};
uint32_t raw_fetch_send(struct raw_client *client, const struct raw_fetch *options, const struct fetch_entry *entries,
                        uint32_t count);
/* Results go to `results` (count of them); the records of all into *records (appended). Returns how many results. */
uint32_t raw_fetch_results(struct raw_client *client, uint32_t correlation_id, struct fetch_result *results,
                           uint32_t count, struct buffer *records);

struct list_offsets_result raw_list_offsets(struct raw_client *client, const struct uuid *topic_id, uint32_t partition,
                                            int64_t timestamp_ms);
struct message_init_producer_response raw_init_producer(struct raw_client *client);
void raw_ping(struct raw_client *client);

/* The shard of a partition, as the broker itself would say. */
uint32_t raw_shard_of(const struct uuid *topic_id, uint32_t partition);

#endif

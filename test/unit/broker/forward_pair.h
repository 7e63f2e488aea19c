/* Two whole brokers in this process, members of one mesh, of which each leads some partitions of a topic; and a client of the one that asks for what the
 * other leads. */
#ifndef TEST_FORWARD_PAIR_H
#define TEST_FORWARD_PAIR_H

#include "broker_fixture.h"
#include "cmd/broker/broker_private.h"
#include "cmd/broker/forward/forward.h"
#include "raw_client.h"

#define PARTITIONS  6
#define PRODUCER_ID 4711 /* as INIT_PRODUCER would have given */

extern struct broker_fixture here, there;
extern struct raw_client client, direct; /* of `here`, on the shard of `far`; of `there` */
extern int32_t leaders[PARTITIONS];      /* node ids: 1 here, 2 there */
extern struct uuid topic_id;
extern uint32_t far, far_other, near; /* partitions led there, there on the other shard, here */

/* Fixtures. Streamed: wait_for_link() waits until requests go by a stream, too. Gated: the disk over there hangs while fs_gate is shut. */
void setup(void);
void setup_streamed(void);
void setup_gated(void);
void setup_gated_streamed(void);
void teardown(void);

/* Again, after a stop. */
void start_there(void);

/* The link may be a moment younger than the images: writes one record to `far` as soon as that works. */
void wait_for_link(void);

/* Reads nothing from `far` until such requests go past the control loops. */
void wait_for_stream(void);

struct forward_stats stats_of(const struct broker_fixture *fixture);

/* Requests of `client` that ask to be sent on. The first three return correlation ids. */
uint32_t produce_send(const struct produce_entry *entries, uint32_t count, struct slice batches, int32_t acks);
uint32_t produce_one_send(uint32_t partition, const struct buffer *batch, int32_t acks);
uint32_t fetch_send(uint32_t partition, uint64_t offset, uint32_t max_wait_ms, uint32_t bytes_max);
struct produce_result produce(uint32_t partition, int count, size_t value_size);
struct fetch_result fetch_result(uint32_t correlation_id, struct buffer *records);

#endif

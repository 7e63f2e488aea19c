/* crypto/sender_table.h - the senders whose packets were authentic: their boot, their derived key, their replay window.
 * At most a number; the least recently heard gives way. Grows by doubling, then allocates nothing. One thread. */
#ifndef CRYPTO_SENDER_TABLE_H
#define CRYPTO_SENDER_TABLE_H

#include "base/uuid.h"
#include "crypto/replay_window.h"

#include <stddef.h>

#define PACKET_KEY_SIZE 32

/* The key of one sender's packets in one of its boots. */
struct packet_key {
    uint32_t boot;
    uint32_t cluster_key_id;
    uint8_t bytes[PACKET_KEY_SIZE];
};

struct sender {
    struct uuid id;
    struct packet_key key; /* of its newest boot */
    struct replay_window window;
    uint32_t next;           /* in its bucket */
    uint32_t newer, older;   /* by when they were heard */
};

struct sender_table;

/* NULL without memory. */
struct sender_table *sender_table_new(size_t senders_max);
void sender_table_free(struct sender_table *table); /* accepts NULL; wipes the keys */

size_t sender_table_count(const struct sender_table *table);

/* NULL when it is not there. Valid until the next sender_table_add(). */
struct sender *sender_table_find(const struct sender_table *table, const struct uuid *id);

/* A sender that is not there, with an empty window and no key; NULL without memory. May forget another. */
struct sender *sender_table_add(struct sender_table *table, const struct uuid *id);

/* It was just heard. */
void sender_table_touch(struct sender_table *table, struct sender *sender);

#endif

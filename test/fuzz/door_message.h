/* fuzz/door_message.h - requests of Kafka's protocol made out of a fuzzer's bytes, by the codec's tables: each is one that can be read, so that what is
 * absurd in it reaches the handler. A byte of 0 leaves a field at its default, and so does the end of the bytes. */
#ifndef FUZZ_DOOR_MESSAGE_H
#define FUZZ_DOOR_MESSAGE_H

#include "kafka/codec.h"

/* The bytes that are left: what is chosen comes from them. */
struct choices {
    const uint8_t *at, *end;
};

static inline uint8_t choices_take(struct choices *choices)
{
    return choices->at < choices->end ? *choices->at++ : 0;
}

/* What exists already, and is worth naming. */
struct door_facts {
    struct uuid topic_id;
    struct slice member_id; /* of the last member of a group; empty: there was none */
    struct slice batch;     /* records as a client sends them */
};

/* Fills a message of that form; all of it lies in the arena or in the facts. false: no memory. */
bool door_message_make(struct choices *choices, const struct door_facts *facts, struct kafka_form form, struct arena *arena, void *ret_message);

#endif

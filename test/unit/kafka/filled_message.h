/* unit/kafka/filled_message.h - any message of any version, filled by its table. */
#ifndef TEST_FILLED_MESSAGE_H
#define TEST_FILLED_MESSAGE_H

#include "base/random.h"
#include "kafka/codec.h"

/* Fills what form's version has with values drawn at random: edge values often, nulls where they may be, arrays of 0 to 3, every
 * second tagged field. Memory comes from `arena`. */
void random_message(struct kafka_form form, struct random *random, struct arena *arena, void *ret_message);

/* Fills everything that the version has with numbers that count up from 1, strings made of them, arrays of two: each value
 * is another, so that fields that were mixed up show. */
void numbered_message(struct kafka_form form, struct arena *arena, void *ret_message);

#endif

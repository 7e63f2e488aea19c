/* What must hold after every entry, whatever was decided: for test_coordinator_model.c. */
#ifndef TEST_COORDINATOR_MODEL_H
#define TEST_COORDINATOR_MODEL_H

#include "metadata_history.h"

/* ck_assert() writes down each place that it passes; this is asked millions of times. */
#define must(condition) must_that(condition, #condition)
#define must_that(condition, ...)                                                                                                          \
    do {                                                                                                                                   \
        if (!(condition)) ck_abort_msg(__VA_ARGS__);                                                                                       \
    } while (0)

struct model_seen {
    uint64_t elections, leaderless, losses, moves_begun, moves_ended, seals;
};

bool model_is_usable(const struct image_broker *broker); /* accepts NULL */

/* Looks at every partition of `image`, and at what became of it since `before`. */
void model_check(const struct image *before, const struct image *image, struct model_seen *seen);

#endif

/* fuzz/door_world.h - a whole broker in this process whose Kafka door is asked, for the fuzzer of requests. */
#ifndef FUZZ_DOOR_WORLD_H
#define FUZZ_DOOR_WORLD_H

#include "base/slice.h"

#include <stdbool.h>
#include <stdint.h>

#define DOOR_FRAME_MAX (1u << 20) /* the largest request of the broker, so that answers are bounded too */

/* Starts the broker in a directory of its own, when there is none; and ends it: nothing of its memory is left charged to anybody then. */
void door_world_start(void);
void door_world_stop(void);

/* A connection to the door, or to the gateway's. */
int door_connect(bool is_gateway);
void door_close(int fd); /* without a word, so that the client keeps no port */

/* false: the broker has closed. */
bool door_send(int fd, struct slice bytes);

enum door_answer {
    DOOR_ANSWERED,
    DOOR_CLOSED,
    DOOR_SILENT, /* for so long */
};

/* The next answer behind its size; *ret_answer holds until the next call. */
enum door_answer door_receive(int fd, int patience_ms, struct slice *ret_answer);

#endif

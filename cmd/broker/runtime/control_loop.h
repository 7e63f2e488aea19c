/* broker/runtime/control_loop.h - the thread of the control loop: its life and its part of a graceful stop. */
#ifndef BROKER_RUNTIME_CONTROL_LOOP_H
#define BROKER_RUNTIME_CONTROL_LOOP_H

#include "cmd/broker/broker_private.h"

/* Errors: MESH_ENOMEM, MESH_EIO. */
int control_loop_open(struct broker *broker);
void control_loop_close(struct broker *broker); /* harmless when it was not opened */

/* Runs until the stop that control_loop_stop() began is complete. Returns the first drain error of the shards; MESH_ETIMEDOUT:
 * the stop took longer than stop.ms.max, and threads may still wait for the disk. */
int control_loop_run(struct broker *broker);

/* Runs until is_done() or until a stop has begun, whichever comes first. */
void control_loop_wait(struct broker *broker, bool (*is_done)(const struct broker *broker));

/* Begins the graceful stop. Control loop only; harmless when it has begun. */
void control_loop_stop(struct broker *broker);

#endif

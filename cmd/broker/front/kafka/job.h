/* broker/front/kafka/job.h - the part of a call that the control loop does: it goes there and comes back by mail.
 *
 * While it is away the call's arena and state are the control loop's. */
#ifndef BROKER_FRONT_KAFKA_JOB_H
#define BROKER_FRONT_KAFKA_JOB_H

#include "cmd/broker/front/kafka/kafka.h"
#include "cmd/broker/runtime/control.h"

struct kafka_job {
    struct mail mail;
    struct kafka_call *call;
    struct shard *shard;
    struct control *control;
    void (*run)(struct kafka_job *job); /* on the control loop; ends in kafka_job_home(), there */
    kafka_finish_fn *home;              /* on the shard, unless nobody wants to know; ends in kafka_call_done() */
};

/* Sends a job, which lies in the call's arena; it is one `out` of the call, and becomes its finish. run and home are set. */
void kafka_job_start(struct kafka_job *job, struct kafka_call *call);
void kafka_job_home(struct kafka_job *job);

/* ---- changes of the metadata, one after the other; steps.c ---- */

struct kafka_steps;
typedef void kafka_step_fn(struct kafka_steps *steps);

struct kafka_steps {
    struct kafka_job job; /* home is set */
    uint32_t count, next;
    kafka_step_fn *step;      /* does number `next`, on the control loop; ends in kafka_step_done(), at once or later */
    bool is_out, is_running;
    uint64_t deadline_ms; /* monotonic; 0: none */
    struct message_topic_response nothing; /* to be described, after everything */
};

/* home runs after every shard has seen what came of the last step: whoever has the answer finds it so everywhere here. */
void kafka_steps_start(struct kafka_steps *steps, struct kafka_call *call);
void kafka_step_done(struct kafka_steps *steps);

/* The same of steps that have the request's time for all of them. kafka_steps_is_late(): it is over, so that what has not begun does not; the first step may begin whenever it is. */
void kafka_steps_begin(struct kafka_steps *steps, struct kafka_call *call, kafka_step_fn *step, int32_t timeout_ms, kafka_finish_fn *home);
bool kafka_steps_is_late(const struct kafka_steps *steps);
#define KAFKA_STEPS_LATE_TEXT "nothing was done: the request's time was over before its turn came"

/* ---- changes of topics; topic_jobs.c ---- */

struct kafka_topic_order {
    bool is_delete, is_alter, validate_only; /* is_delete without a name: of topic_id; validate_only with is_alter: nothing is left to be judged */
    int8_t resource_type; /* as Kafka numbers it, for the answer */
    char *name, *name_told; /* told: of a topic that is deleted by its id, for the answer */
    size_t name_size; /* as it was asked for: there may be a NUL in it. For answers that say it again */
    int32_t partition_count, replication_factor; /* 0: the mesh's default */
    int32_t *replicas; /* of a new topic: node ids, replication_factor of them for each partition; NULL: the mesh chooses */
    bool has_places;   /* they were asked for */
    struct message_config *configs;
    size_t config_count;
    char **removed_keys; /* is_alter: back to their defaults */
    size_t removed_key_count;
    /* What became of it. */
    int error;
    char *message; /* NULL: none */
    struct uuid topic_id;
    int32_t partitions_made, replicas_made;
};

struct kafka_topic_job {
    struct kafka_steps steps;
    struct kafka_topic_order *orders; /* one a step; those with an error already are passed over */
};

/* Does the orders. orders, steps.count and steps.job.home are set. */
void kafka_topic_job_start(struct kafka_topic_job *topics, struct kafka_call *call);

#endif

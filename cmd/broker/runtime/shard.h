/* broker/runtime/shard.h - one shard: a loop, its connections, its partitions and their store.
 *
 * A turn of the loop: wait; take the mail; read and serve requests; then, at the end of the turn, close the store's forming
 * batch, start disk jobs, acknowledge what has become durable, answer long polls, and flush every connection once.
 * Everything in here belongs to the shard's thread but `mailbox`, to which any thread may post. An idle shard has no
 * timer but those of waiting clients. */
#ifndef BROKER_RUNTIME_SHARD_H
#define BROKER_RUNTIME_SHARD_H

#include "base/list.h"
#include "base/map.h"
#include "cmd/broker/broker_private.h"
#include "cmd/broker/forward/ways.h"
#include "cmd/broker/front/connections.h"
#include "cmd/broker/groups/groups.h"
#include "cmd/broker/operate/request_log.h"
#include "cmd/broker/ops/doubts.h"
#include "cmd/broker/replicas/replicas.h"
#include "cmd/broker/runtime/ack_queue.h"
#include "cmd/broker/runtime/metrics.h"
#include "cmd/broker/runtime/pool.h"
#include "segment/recovery.h"
#include "segment/store.h"
#include "segment/sync_queue.h"

#include <ev.h>

struct image;

/* One disk job on its way through a lane. */
struct shard_job {
    struct mail mail;
    struct shard *shard;
    struct store_job *job; /* NULL: the slot is free */
    uint64_t started_ms;
};

/* One step of a graceful stop (stop.c). */
struct shard_stop {
    struct mail mail;
    struct shard *shard;
    struct mailbox *reply_to; /* the control loop */
    mail_fn *reply;
};

struct shard {
    struct broker *broker;
    uint32_t index;
    struct ev_loop *loop;
    struct mailbox mailbox;
    _Atomic(const struct image *) next_image; /* any thread: the newest one sent, referenced; NULL once installed */
    struct mail image_mail;                   /* under way while next_image is not NULL */
    struct mail settings_mail;                /* under way while has_settings_mail */
    atomic_bool has_settings_mail;
    uint64_t now_ns, now_ms; /* monotonic, of this turn */
    int64_t now_wall_ms;

    struct store *store;
    const struct image *image; /* referenced; the newest that the control loop sent */
    struct map topics, partitions; /* partitions.h */
    struct ack_queue acks_synced, acks_written;
    struct list_node acks_committing, acks_resting; /* shard_partition_acks; partitions.h */
    struct replicas replicas;
    struct shard_groups groups;
    struct doubts doubts;            /* of readers, that are to be followed up */
    struct list_node fetches_ready;  /* fetch parts to look at again, at the end of the turn */
    struct list_node remote_waiting; /* batches of other shards that found the memory full, in order */

    struct forward_ways forward_ways;
    struct connections connections;
    struct pool pool;
    struct request_log request_log;
    struct buffer scratch; /* for encoding; holds nothing between calls */

    struct metrics_shard metrics; /* sync_ns, store and topics are filled in the copy that is given out */

    struct lane lanes[STORE_LANE_READ]; /* all but the READ lane, which is the broker's */
    struct shard_job jobs[STORE_LANE_COUNT];
    struct sync_queue *sync_queue; /* for sync jobs that need no lane; NULL: the system has none */
    bool is_sync_begun;            /* the job of the SYNC lane is in it */
    ev_io mailbox_io, sync_io;
    ev_check wake;
    ev_timer tick, trim, retry, expire, farewell;
    uint64_t trim_seen; /* pool.acquired when the trim timer was last looked at */
    bool is_trim_due;   /* all partitions got their roles anew: what that took lies between what stays */
    pthread_t thread;
    uint64_t appended; /* batches since the start */
    uint64_t tick_seen;   /* appended when the store last ticked */
    uint64_t tick_due_ms; /* when it ticks next; UINT64_MAX: not armed */
    bool is_tick_wanted;  /* a log's configuration changed since */
    bool is_thread_started;
    bool is_announced; /* in mailbox_prepare_sleep() */
    bool has_urgent_copy; /* a batch beyond the pool's limit is on its way to another shard */
    bool is_store_full; /* an append found no memory in this turn */
    bool was_stuck;    /* store full and no job running, at the end of the last turn */
    bool has_more;     /* the next turn must not sleep */
    struct mail failed_mail; /* to the control loop, once: a log here has failed */
    bool has_failed;
    bool is_stopping;  /* new requests are refused */
    bool is_drained;   /* no further disk jobs */
    bool is_late;      /* the last answers have had their time to leave */
    bool is_draining;  /* nothing is in flight anywhere: the store is being drained */
    bool is_finished;  /* the thread ends after this turn */
    struct shard_stop *stop; /* the step to be answered */
    struct shard_stop abandon; /* shard_halt()'s: it stays in the mailbox of a thread that has ended */
    int drain_error;   /* 0 once the clean manifest is durable */
};

/* A shard's part of scrub.bytes.per.second; 0: the store's default. Any thread. */
uint64_t shard_scrub_bytes_per_s(const struct broker *broker);

/* Some of the broker's settings have changed: the shard takes those that it has a copy of, soon, also when it has nothing else to do. Control loop. */
void shard_tell_settings(struct shard *shard);

/* Makes a shard without its thread: store open, listening socket taken over (also on failure). Errors: MESH_ENOMEM,
 * MESH_EIO, MESH_EFULL. */
int shard_new(struct broker *broker, uint32_t index, const struct store_options *store_options, int listen_fd,
              struct shard **ret_shard);

/* From here on only its own thread touches the shard. Errors: MESH_ENOMEM. */
int shard_start(struct shard *shard);

/* Ends its threads, as a crash would: whoever drained the shard before has lost nothing. Accepts NULL. */
void shard_halt(struct shard *shard);

/* Frees a shard. All shards of a broker are halted first, and nothing is under way between them. Accepts NULL. */
void shard_free(struct shard *shard);

/* A mail for the shard that never gets an answer by itself: posts it. Any thread. */
static inline void shard_post(struct shard *shard, struct mail *mail)
{
    mailbox_post(&shard->mailbox, mail);
}

/* ---- turn.c ---- */

void shard_turn_init(struct shard *shard);
void *shard_run(void *user);
/* After the thread has ended: waits for what the sync queue still does. */
void shard_job_settle(struct shard *shard);

/* ---- stop.c: three steps of a graceful stop, each a mail from the control loop that is answered through it ---- */

/* 1: refuse new requests; replies when none of the shard's own connections waits for an answer. */
void shard_stop_quiesce(struct mail *mail);
/* 2: after every shard is quiet: drain the store; replies when that is done. */
void shard_stop_drain(struct mail *mail);
/* 3: close the connections and end the thread. No reply. */
void shard_stop_finish(struct mail *mail);
/* At any time: logs what the stop waits for, and ends the thread. No reply. */
void shard_stop_give_up(struct mail *mail);
/* At the end of each turn. */
void shard_stop_step(struct shard *shard);

#endif

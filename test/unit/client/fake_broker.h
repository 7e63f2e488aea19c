/* fake_broker.h - a broker made for tests: one topic in memory, real sockets, and a script of things that go
 * wrong.
 *
 * Runs in a thread of its own on a port of 127.0.0.1 that the system chose. Speaks the native protocol
 * honestly, including the producer's sequences, unless the script says otherwise for a frame. All fields but
 * those marked belong to the thread once it runs. */
#ifndef FAKE_BROKER_H
#define FAKE_BROKER_H

#include "base/buffer.h"
#include "base/uuid.h"
#include "wire/frame.h"
#include "wire/message.h"
#include "wire/record_batch.h"

#include <pthread.h>
#include <stdatomic.h>

#define FAKE_PARTITIONS_MAX  64
#define FAKE_CONNECTIONS_MAX 64
#define FAKE_PRODUCERS_MAX   64
#define FAKE_WINDOW          5
#define FAKE_BROKERS_MAX     8

enum fake_action {
    FAKE_SERVE,           /* as a broker should */
    FAKE_REFUSE,          /* an error frame with `error` instead of doing it */
    FAKE_FAIL_EACH,       /* produce, fetch, list offsets: `error` for each entry */
    FAKE_CLOSE,           /* close without doing it */
    FAKE_SERVE_AND_CLOSE, /* do it, close instead of answering */
    FAKE_SERVE_CUT,       /* do it, send half of the answer, close */
    FAKE_SERVE_DRIP,      /* do it, send the answer byte by byte */
    FAKE_SERVE_LATER,     /* do it, answer after the connection's next answer */
    FAKE_SILENT,          /* never answer */
    FAKE_GARBAGE,         /* answer with bytes that are no frame */
    FAKE_LIE_LENGTH,      /* an answer whose header announces more than CONNECTION_ATTACHMENT_MAX */
    FAKE_LIE_CORRELATION, /* an answer to a request that nobody made */
    FAKE_BAD_CRC,         /* an answer with one bit flipped in its message, or header */
    FAKE_BAD_BATCH,       /* fetch: one bit flipped in the attachment */
    FAKE_FEWER_RESULTS,   /* an answer with no results */
    FAKE_TRUNCATED_BATCH, /* fetch: the region's last batch is cut short */
};

struct fake_broker;
struct fake_mesh;

/* Called in the broker's thread for each frame; may set *error. */
typedef enum fake_action fake_script(void *user, struct fake_broker *broker, enum frame_op op, int *error);

/* In the broker's thread: an answer to an operation of groups. False: it is a refusal. */
typedef bool fake_group_serve(void *user, enum frame_op op, struct slice message, struct buffer *to);

struct fake_window {
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t next_sequence;
    struct {
        int32_t first_sequence, count;
        uint64_t base_offset;
    } batches[FAKE_WINDOW];
    uint32_t batch_count;
};

struct fake_partition {
    struct buffer log;
    uint64_t next_offset, log_start;
    struct fake_window windows[FAKE_PRODUCERS_MAX];
    uint32_t window_count;
};

struct fake_connection {
    int fd;
    struct buffer in;
    struct buffer out;     /* answers gathered over one input */
    struct buffer held;    /* answer to be sent after the next one */
    struct buffer waiting; /* a FETCH frame that found nothing */
    uint64_t waiting_until_ms;
    bool is_drip;
};

/* Several that are one mesh: they share records, and each serves the partitions that it leads. One that does not lead answers NOT_LEADER, or,
 * when the request asks to be forwarded, serves it all the same, as if its leader had. */
struct fake_mesh {
    pthread_mutex_t mutex; /* of the records, which are the first broker's */
    struct fake_broker *brokers[FAKE_BROKERS_MAX];
    uint32_t broker_count;
    atomic_int leaders[FAKE_PARTITIONS_MAX]; /* index of a broker; any thread */
    atomic_int epochs[FAKE_PARTITIONS_MAX];
    atomic_uint forwarded, forwarded_offsets, misdirected; /* entries; offsets: of LIST_OFFSETS; any thread */
};

struct fake_broker {
    /* set before start */
    struct fake_mesh *mesh; /* NULL: alone */
    const char *topic;
    uint32_t partition_count, shard_count;
    int32_t node_id;
    uint32_t frame_bytes_max;
    const struct fake_broker *leader; /* who leads the topic, when it is another broker */
    bool is_null;                     /* produce: acknowledged, nothing kept */
    fake_script *script;
    void *script_user;
    fake_group_serve *serve_group; /* NULL: it knows no groups */
    void *group_user;

    char address[32];       /* "127.0.0.1:port"; the test's, after start */
    atomic_uint port;       /* the same; any thread */
    atomic_uint frames[64]; /* by operation; any thread */
    atomic_uint answered;   /* reads from a connection whose frames' answers are on their way; any thread */
    atomic_uint doubted;    /* entries of FETCH that say so; any thread */
    atomic_ullong produced_records;
    atomic_bool is_behind;            /* it tells who led when it fell behind; any thread */
    int seen_leaders[FAKE_PARTITIONS_MAX], seen_epochs[FAKE_PARTITIONS_MAX];
    atomic_int epoch; /* of every partition, where it is alone; any thread */
    atomic_ullong losing; /* 1 + offset at which every partition is cut before the next frame is served, in a new epoch; 0: none is; any thread */
    atomic_uint trim_timeout_ms; /* that the last TOPIC_TRIM asked for; any thread */
    atomic_uint batch_bytes_max; /* the topic's max.batch.bytes; 0: it says nothing and takes all; any thread */

    int listen_fd, wake_fd;
    atomic_bool is_stopping;
    pthread_t thread;
    pid_t process;
    struct uuid topic_id;
    int64_t next_producer_id;
    struct fake_partition partitions[FAKE_PARTITIONS_MAX];
    struct fake_connection connections[FAKE_CONNECTIONS_MAX];
    uint32_t connection_count;
};

/* Starts so many, with node ids from 1 on; partition i is led by the broker i % count. */
void fake_mesh_start(struct fake_mesh *mesh, uint32_t broker_count, uint32_t partition_count, fake_script *script, void *script_user);
void fake_mesh_stop(struct fake_mesh *mesh); /* and frees them; those that are hidden too */
void fake_mesh_lead(struct fake_mesh *mesh, uint32_t partition, uint32_t broker); /* in a new epoch */

/* The same, by an election that loses what lies at and behind `offset` (where a batch begins); then come so many others, of the new epoch. */
void fake_mesh_lose(struct fake_mesh *mesh, uint32_t partition, uint32_t broker, uint64_t offset, const char *const *values, size_t count);
/* The same, but the others are of epoch `epoch`, from before: the new leader has what was lost when it ended. */
void fake_mesh_bring_back(struct fake_mesh *mesh, uint32_t partition, uint32_t broker, uint64_t offset, int epoch, const char *const *values, size_t count);

/* From here on it learns nothing of the mesh, and tells what it knows all the same. */
void fake_broker_fall_behind(struct fake_broker *broker);

/* Nobody listens at its port any more, until it is shown again. */
void fake_broker_hide(struct fake_broker *broker);
void fake_broker_show(struct fake_broker *broker);
void fake_broker_show_elsewhere(struct fake_broker *broker); /* at another port, which the others tell */

struct fake_broker *fake_broker_new(const char *topic, uint32_t partition_count);
void fake_broker_start(struct fake_broker *broker);
void fake_broker_stop(struct fake_broker *broker); /* joins; the partitions can then be read */
/* The same in a process of its own, so that allocation failures armed in this one do not hit it. */
void fake_broker_fork(struct fake_broker *broker);
void fake_broker_kill(struct fake_broker *broker);
void fake_broker_free(struct fake_broker *broker);

/* For filling a partition before start. */
void fake_broker_append(struct fake_broker *broker, uint32_t partition, const char *const *values,
                        size_t count, enum record_compression compression);

#endif

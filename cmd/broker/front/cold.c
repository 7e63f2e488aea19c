/* broker/front/cold.c - probing, and the job on the READ thread. */
#include "cmd/broker/front/cold.h"

#include "base/error.h"
#include "base/page_cache.h"
#include "cmd/broker/front/connection.h"
#include "cmd/broker/runtime/shard.h"

#include <stdlib.h>

struct cold_job {
    struct mail mail;
    struct connection *connection;
    struct shard *shard;
    struct fs_file *file; /* referenced */
    uint64_t position;
    size_t size;
};

bool cold_is_resident(const struct fs_file *file, uint64_t position, size_t size)
{
    return page_cache_has(file->fd, position, size);
}

static void cold_home(struct mail *mail)
{
    struct cold_job *job = container_of(mail, struct cold_job, mail);
    struct connection *connection = job->connection;

    connection->out.is_loading = false;
    if (connection->state != CONNECTION_CLOSED && list_is_empty(&connection->flush_link))
        list_push_back(&job->shard->connections.flushing, &connection->flush_link);
    fs_unref(job->file);
    free(job);
    connection_end(connection, 0);
}

/* On the READ thread. Whatever goes wrong here, sendfile() will meet it too and say so. */
static void cold_run(struct mail *mail)
{
    struct cold_job *job = container_of(mail, struct cold_job, mail);

    page_cache_load(job->file->fd, job->position, job->size);
    job->mail.deliver = cold_home;
    shard_post(job->shard, &job->mail);
}

int cold_load(struct connection *connection, struct fs_file *file, uint64_t position, size_t size)
{
    struct cold_job *job = malloc(sizeof(*job));

    if (job == NULL) return MESH_ENOMEM;
    *job = (struct cold_job){
        .mail.deliver = cold_run,
        .connection = connection,
        .shard = connection->shard,
        .file = fs_ref(file),
        .position = position,
        .size = size,
    };
    fs_note_load(file);
    connection->out.is_loading = true;
    connection_begin(connection, 0);
    lane_post(&connection->shard->broker->read_lane, &job->mail);
    return 0;
}

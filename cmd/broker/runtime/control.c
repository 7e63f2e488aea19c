/* broker/runtime/control.c - from the control loop to the shards: images out, offsets back. */
#include "cmd/broker/runtime/control.h"

#include "base/error.h"
#include "cmd/broker/ops/partition_facts.h"
#include "cmd/broker/runtime/partitions.h"

#include <stdlib.h>

/* ---- images ---- */

static void image_arrives(struct mail *mail)
{
    struct shard *shard = container_of(mail, struct shard, image_mail);

    /* From the exchange on the control loop may post this mail again. */
    shard_install_image(shard, atomic_exchange(&shard->next_image, NULL));
}

void control_publish_image(void *user, const struct image *image)
{
    struct control *control = user;

    for (uint32_t i = 0; i < control->shard_count; i++) {
        struct shard *shard = control->shards[i];
        const struct image *skipped = atomic_exchange(&shard->next_image, image_ref(image));

        if (skipped != NULL) {
            image_unref(skipped); /* the mail that was to bring it will bring the new one */
            continue;
        }
        shard->image_mail.deliver = image_arrives;
        shard_post(shard, &shard->image_mail);
    }
}

/* ---- offsets ---- */

struct offsets_mail {
    struct mail mail;
    struct offsets_gather *gather;
    struct shard *shard;
};

struct offsets_gather {
    struct control *control;
    struct message_topic_response *response;
    control_done_fn *done;
    void *user;
    uint32_t remaining;
    struct offsets_mail mails[];
};

static void offsets_home(struct mail *mail)
{
    struct offsets_gather *gather = container_of(mail, struct offsets_mail, mail)->gather;

    if (--gather->remaining > 0) return;
    gather->done(gather->user);
    free(gather);
}

static void fill_topic(struct shard *shard, uint32_t shard_count, struct message_topic *topic)
{
    for (size_t i = 0; i < topic->partition_count; i++) {
        struct message_partition *partition = &topic->partitions[i];
        struct partition_facts facts;

        if (image_shard_of(&topic->topic_id, partition->partition, shard_count) != shard->index) continue;
        partition_facts_get(shard, &topic->topic_id, partition->partition, &facts);
        partition->shard = shard->index;
        partition->high_watermark = facts.high_watermark;
        partition->log_start = facts.log_start;
        partition->log_end = facts.log_end;
        partition->size_bytes = facts.size_bytes;
        if (facts.error != 0) partition->error = facts.error;
    }
}

/* On a shard. Each writes into partitions of its own only. */
static void offsets_arrive(struct mail *mail)
{
    struct offsets_mail *offsets = container_of(mail, struct offsets_mail, mail);
    struct offsets_gather *gather = offsets->gather;

    for (size_t i = 0; i < gather->response->topic_count; i++)
        if (gather->response->topics[i].error == 0)
            fill_topic(offsets->shard, gather->control->shard_count, &gather->response->topics[i]);
    offsets->mail.deliver = offsets_home;
    mailbox_post(&gather->control->mailbox, &offsets->mail);
}

int control_describe_offsets(struct control *control, struct message_topic_response *response, control_done_fn *done,
                             void *user)
{
    struct offsets_gather *gather = calloc(1, sizeof(*gather) + control->shard_count * sizeof(gather->mails[0]));

    if (gather == NULL) return MESH_ENOMEM;
    gather->control = control;
    gather->response = response;
    gather->done = done;
    gather->user = user;
    gather->remaining = control->shard_count;
    for (uint32_t i = 0; i < control->shard_count; i++) {
        gather->mails[i].gather = gather;
        gather->mails[i].shard = control->shards[i];
        gather->mails[i].mail.deliver = offsets_arrive;
        shard_post(control->shards[i], &gather->mails[i].mail);
    }
    return 0;
}

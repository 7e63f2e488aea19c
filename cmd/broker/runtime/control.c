/* broker/runtime/control.c - from the control loop to the shards: images out, offsets back; and offsets that other brokers know. */
#include "cmd/broker/runtime/control.h"

#include "base/error.h"
#include "cmd/broker/forward/describe.h"
#include "cmd/broker/forward/forward.h"
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

        if (partition->leader != shard->broker->node_id) continue;
        if (image_shard_of(&topic->topic_id, partition->partition, shard_count) != shard->index) continue;
        partition_facts_get(shard, &topic->topic_id, partition->partition, &facts);
        partition->shard = shard->index;
        partition->high_watermark = facts.high_watermark;
        partition->log_start = facts.log_start;
        partition->log_end = facts.log_end;
        partition->size_bytes = facts.size_bytes;
        if (facts.error != 0) {
            partition->error = facts.error;
        } else if (facts.is_end_unknown) {
            partition->error = MESH_EAGAIN;
            partition->problem = (char *)(uintptr_t)"its new leader has not heard its in-sync replicas yet: where its records end is not known";
        }
        if (partition->missing_bytes == NULL) continue; /* one replica */
        if (!partition_facts_missing(shard, &topic->topic_id, partition->partition, partition->replicas, partition->replica_count,
                                     partition->missing_records_plus_one, partition->missing_bytes))
            continue;
        partition->missing_record_count = partition->missing_byte_count = partition->replica_count;
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
    mailbox_post(forward_mailbox(gather->control->forward), &offsets->mail);
}

int control_describe_local(struct control *control, struct message_topic_response *response, control_done_fn *done, void *user)
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

/* Of those led here and of those led elsewhere: two parts, which end in any order. */
struct offsets_all {
    struct forward_describe *elsewhere;
    control_done_fn *done;
    void *user;
    int remaining;
};

static void part_done(void *user)
{
    struct offsets_all *all = user;

    if (--all->remaining > 0) return;
    all->done(all->user);
    forward_describe_free(all->elsewhere);
    free(all);
}

int control_describe_offsets(struct control *control, struct message_topic_response *response, control_done_fn *done,
                             void *user)
{
    struct forward_describe *elsewhere;
    struct offsets_all *all;
    int err = forward_describe_new(control, response, &elsewhere);

    if (err != 0) return err;
    if (elsewhere == NULL) return control_describe_local(control, response, done, user);
    all = calloc(1, sizeof(*all));
    if (all != NULL) *all = (struct offsets_all){elsewhere, done, user, 2};
    err = all == NULL ? MESH_ENOMEM : control_describe_local(control, response, part_done, all);
    if (err != 0) {
        forward_describe_free(elsewhere);
        free(all);
        return err;
    }
    forward_describe_send(elsewhere, part_done, all);
    return 0;
}

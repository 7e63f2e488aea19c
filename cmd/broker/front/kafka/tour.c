/* broker/front/kafka/tour.c - see tour.h. */
#include "cmd/broker/front/kafka/tour.h"

#include "cmd/broker/runtime/shard.h"

static void returns(struct mail *mail)
{
    kafka_call_leave(container_of(mail, struct kafka_tour, mail)->call);
}

static void arrives(struct mail *mail)
{
    struct kafka_tour *tour = container_of(mail, struct kafka_tour, mail);
    const struct broker *broker = tour->home->broker;

    tour->visit(tour, broker->shards[tour->at]);
    if (++tour->at < broker->shard_count) {
        shard_post(broker->shards[tour->at], &tour->mail);
        return;
    }
    tour->mail.deliver = returns;
    shard_post(tour->home, &tour->mail);
}

void kafka_tour_start(struct kafka_tour *tour, struct kafka_call *call, kafka_visit_fn *visit, kafka_finish_fn *finish)
{
    tour->visit = visit;
    tour->call = call;
    tour->home = call->connection->shard;
    tour->mail.deliver = arrives;
    call->finish = finish;
    call->out++;
    kafka_call_charge(call); /* from here on its memory is not ours to look at */
    shard_post(tour->home->broker->shards[0], &tour->mail);
}

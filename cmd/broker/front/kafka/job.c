/* broker/front/kafka/job.c - see job.h. */
#include "cmd/broker/front/kafka/job.h"

#include "cmd/broker/runtime/shard.h"

static void job_arrives(struct mail *mail)
{
    struct kafka_job *job = container_of(mail, struct kafka_job, mail);

    job->run(job);
}

static void job_returns(struct mail *mail)
{
    kafka_call_leave(container_of(mail, struct kafka_job, mail)->call);
}

void kafka_job_start(struct kafka_job *job, struct kafka_call *call)
{
    job->call = call;
    job->shard = call->connection->shard;
    job->control = &job->shard->broker->control;
    job->mail.deliver = job_arrives;
    call->finish = job->home;
    call->out++;
    kafka_call_charge(call); /* from here on its memory is not ours to look at */
    mailbox_post(&job->control->mailbox, &job->mail);
}

void kafka_job_home(struct kafka_job *job)
{
    job->mail.deliver = job_returns;
    shard_post(job->shard, &job->mail);
}

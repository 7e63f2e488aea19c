/* broker/front/kafka/steps.c - a job of several changes, each after the one before; see job.h. */
#include "cmd/broker/front/kafka/job.h"

#include "base/clock.h"

static void on_seen(void *user)
{
    kafka_job_home(&((struct kafka_steps *)user)->job);
}

/* A loop, so that steps that end at once do not nest. */
static void run_steps(struct kafka_steps *steps)
{
    steps->is_running = true;
    while (steps->next < steps->count && !steps->is_out) {
        steps->is_out = true;
        steps->step(steps);
    }
    steps->is_running = false;
    if (steps->is_out) return;
    if (control_describe_local(steps->job.control, &steps->nothing, on_seen, steps) != 0) kafka_job_home(&steps->job);
}

void kafka_step_done(struct kafka_steps *steps)
{
    steps->next++;
    steps->is_out = false;
    if (!steps->is_running) run_steps(steps);
}

static void run(struct kafka_job *job)
{
    run_steps(container_of(job, struct kafka_steps, job));
}

void kafka_steps_start(struct kafka_steps *steps, struct kafka_call *call)
{
    steps->job.run = run;
    kafka_job_start(&steps->job, call);
}

void kafka_steps_begin(struct kafka_steps *steps, struct kafka_call *call, kafka_step_fn *step, int32_t timeout_ms, kafka_finish_fn *home)
{
    steps->step = step;
    steps->job.home = home;
    steps->deadline_ms = clock_monotonic_ms() + (timeout_ms > 0 ? (uint64_t)timeout_ms : 0);
    kafka_steps_start(steps, call);
}

bool kafka_steps_is_late(const struct kafka_steps *steps)
{
    return steps->next > 0 && steps->deadline_ms != 0 && clock_monotonic_ms() >= steps->deadline_ms;
}

/* broker/first_boot.c - outputs of the founding to links, disk, marker and people. */
#include "cmd/broker/first_boot.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "cmd/broker/metadata/founded_marker.h"
#include "cmd/broker/metadata/founding_file.h"
#include "cmd/broker/start.h"

#include <ev.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_SIZE 512

struct first_boot {
    const struct first_boot_options *options;
    struct raft_server self;
    struct founding *founding;
    struct founding_state state; /* as the disk had it, or has it since */
    struct fs *marker_fs; /* NULL: no marker */
    const char *marker_name;
    struct uuid marker;
    struct join *join; /* while its loop runs */
    struct ev_loop *loop;
    ev_timer timer;
    struct founding_value value; /* once it is done */
    bool is_done, is_driving;
    int error;
};

static uint64_t now_us(void)
{
    return clock_monotonic_ns() / 1000;
}

/* ---- outputs ---- */

static void finish(struct first_boot *boot, int error)
{
    if (boot->error == 0) boot->error = error;
    boot->is_done = true;
    if (boot->join != NULL) join_end(boot->join, error, &boot->value.cluster);
}

static void store(struct first_boot *boot, const struct founding_output *output)
{
    int err;

    boot->state = *output->state;
    err = founding_file_store(boot->options->fs, &boot->self, &boot->state);
    if (err == 0) {
        founding_stored(boot->founding, now_us(), output->store);
        return;
    }
    log_error("cannot write DIR/founding: %s error=\"%s\"", start_disk_cure(err), mesh_strerror(err));
    founding_store_failed(boot->founding, now_us(), err);
    finish(boot, err);
}

static int write_marker(struct first_boot *boot, const struct uuid *cluster_id)
{
    int err;

    if (boot->marker_fs == NULL || uuid_equal(&boot->marker, cluster_id)) return 0;
    err = founded_marker_write(boot->marker_fs, boot->marker_name, cluster_id);
    if (err != 0)
        log_error("cannot write the marker of the founding: it protects nothing until the next start path=\"%s\" error=\"%s\"",
                  boot->options->marker_path, mesh_strerror(err));
    return err;
}

static void tell(const struct first_boot *boot, const struct founding_output *output)
{
    const struct join_options *join = &boot->options->join;

    if (join->progress != NULL && output->cure[0] != '\0')
        join->progress(join->user, output->text, output->cure);
    else
        log_write(output->is_warning ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "%s", output->text);
}

static void carry_out(struct first_boot *boot, const struct founding_output *output)
{
    switch (output->type) {
    case FOUNDING_OUTPUT_SEND:
        if (boot->join != NULL) join_send_to(boot->join, &output->address, &output->to, output->message);
        break;
    case FOUNDING_OUTPUT_STORE: store(boot, output); break;
    case FOUNDING_OUTPUT_MARK: founding_marked(boot->founding, now_us(), write_marker(boot, &output->value.cluster)); break;
    case FOUNDING_OUTPUT_LOG: tell(boot, output); break;
    case FOUNDING_OUTPUT_DONE:
        boot->value = output->value;
        finish(boot, 0);
        break;
    }
}

static void drive(struct first_boot *boot)
{
    struct founding_output output;
    uint64_t due_us, at_us;

    if (boot->is_driving) return;
    boot->is_driving = true;
    while (!boot->is_done && founding_next_output(boot->founding, now_us(), &output))
        carry_out(boot, &output);
    boot->is_driving = false;
    if (boot->loop == NULL) return;
    ev_timer_stop(boot->loop, &boot->timer);
    due_us = founding_due_us(boot->founding);
    if (boot->is_done || due_us == FOUNDING_NEVER) return;
    at_us = now_us();
    ev_timer_set(&boot->timer, due_us <= at_us ? 0. : (double)(due_us - at_us) / 1e6, 0.);
    ev_timer_start(boot->loop, &boot->timer);
}

/* ---- links ---- */

static void on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct first_boot *boot = timer->data;

    (void)loop;
    (void)events;
    founding_tick(boot->founding, now_us());
    drive(boot);
}

static void on_start(void *user, struct join *join, struct ev_loop *loop)
{
    struct first_boot *boot = user;

    boot->join = join;
    boot->loop = loop;
    ev_timer_init(&boot->timer, on_timer, 0., 0.);
    boot->timer.data = boot;
    drive(boot);
}

static void on_stop(void *user)
{
    struct first_boot *boot = user;

    ev_timer_stop(boot->loop, &boot->timer);
    boot->loop = NULL;
    boot->join = NULL;
}

static void on_seeds(void *user, const struct net_address *seeds, size_t count)
{
    struct first_boot *boot = user;

    founding_set_seeds(boot->founding, now_us(), seeds, count);
    drive(boot);
}

static void on_receive(void *user, const struct uuid *peer, const struct uuid *dir_id, const struct net_address *source, struct slice message)
{
    struct first_boot *boot = user;

    (void)dir_id; /* the message names it, too */
    founding_receive(boot->founding, now_us(), peer, source, message);
    drive(boot);
}

/* In Kubernetes, whether this is mesh-1 or a later pod of its StatefulSet. Pods run the same line, and the first one's name may lead nowhere for a moment, while its pod is made
 * anew: a later one that expects itself alone (`--expect 1`, scaled up) would then found a second mesh beside the first. */
static bool is_later_pod(void)
{
    char name[HOST_NAME_MAX + 1] = "";
    const char *ordinal;

    if (getenv("KUBERNETES_SERVICE_HOST") == NULL || gethostname(name, sizeof(name) - 1) != 0) return false;
    ordinal = strrchr(name, '-');
    return ordinal != NULL && ordinal[1] != '\0' && ordinal[1] != '0' && strspn(ordinal + 1, "0123456789") == strlen(ordinal + 1);
}

static void on_looked(void *user, bool is_alone)
{
    struct first_boot *boot = user;

    founding_hold_alone(boot->founding, now_us(), !is_alone || is_later_pod());
    drive(boot);
}

static void on_unreachable(void *user, const struct net_address *address)
{
    struct first_boot *boot = user;

    founding_unreachable(boot->founding, now_us(), address);
    drive(boot);
}

/* ---- the calls ---- */

static int open_marker(struct first_boot *boot)
{
    const char *path = boot->options->marker_path;
    char message[TEXT_SIZE] = "";
    int err;

    if (path == NULL) return 0;
    err = founded_marker_place(path, &boot->marker_fs, &boot->marker_name, message, sizeof(message));
    if (err == 0) err = founded_marker_read(boot->marker_fs, boot->marker_name, &boot->marker, message, sizeof(message));
    if (err != 0) log_error("%s", message);
    return err;
}

static int open_all(struct first_boot *boot, const struct first_boot_options *options)
{
    char message[TEXT_SIZE] = "";
    int err;

    boot->options = options;
    boot->self = (struct raft_server){options->identity->broker_id, options->identity->dir_id};
    err = open_marker(boot);
    if (err != 0) return err;
    err = founding_file_load(options->fs, &boot->self, &options->identity->cluster_id, &boot->state, message, sizeof(message));
    if (err != 0) log_error("%s", message);
    return err;
}

static void close_all(struct first_boot *boot)
{
    founding_free(boot->founding);
    if (boot->marker_fs != NULL) boot->marker_fs->ops->free(boot->marker_fs);
}

static int new_founding(struct first_boot *boot)
{
    const struct first_boot_options *options = boot->options;
    struct founding_options founding;
    uint8_t random[UUID_SIZE];

    founding_options_init(&founding);
    founding.self = boot->self;
    founding.address = options->address;
    founding.mode = options->join.seed_count == 0 ? FOUNDING_SERVE : FOUNDING_JOIN;
    founding.expect = options->join.seed_count == 0 ? 0 : options->expect;
    random_system_bytes(random, sizeof(random));
    founding.fresh_cluster = uuid_from_random(random);
    random_system_bytes(&founding.seed, sizeof(founding.seed));
    founding.keeps_marker = options->marker_path != NULL;
    founding.marker = boot->marker;
    founding.marker_path = options->marker_path;
    return founding_new(&founding, &boot->state, now_us(), &boot->founding);
}

/* What this disk, or its marker in the second place, remembers of a mesh holds against whatever the seeds lead to. */
static bool is_ours(const struct first_boot *boot, const struct uuid *cluster_id)
{
    bool is_other_disk = boot->state.phase == FOUNDING_MEMBER && !uuid_equal(&boot->state.value.cluster, cluster_id);
    bool is_other_marker = !uuid_is_zero(&boot->marker) && !uuid_equal(&boot->marker, cluster_id);
    char ours[UUID_STRING_SIZE], theirs[UUID_STRING_SIZE];

    if (is_other_disk || is_other_marker)
        log_error("the seeds belong to another mesh than this broker, by what %s says: name seeds of its own mesh; or, if it is to begin anew there, %s "
                  "mine=%s theirs=%s",
                  is_other_disk ? "DIR/founding" : boot->options->marker_path,
                  is_other_disk ? "give it an empty directory" : "remove that marker",
                  uuid_format(is_other_disk ? &boot->state.value.cluster : &boot->marker, ours), uuid_format(cluster_id, theirs));
    return !is_other_disk && !is_other_marker;
}

/* A mesh that others have made: this broker belongs to it as soon as that is written down. */
static int note_membership(struct first_boot *boot, const struct uuid *cluster_id)
{
    bool is_known = boot->state.phase == FOUNDING_MEMBER;
    int err = 0;

    if (!is_ours(boot, cluster_id)) return MESH_EWRONG_MESH;
    if (!is_known) {
        boot->state.phase = FOUNDING_MEMBER;
        if (!uuid_equal(&boot->state.value.cluster, cluster_id)) boot->state.value = (struct founding_value){.cluster = *cluster_id};
        err = founding_file_store(boot->options->fs, &boot->self, &boot->state);
    }
    if (err != 0) log_error("cannot write DIR/founding: %s error=\"%s\"", start_disk_cure(err), mesh_strerror(err));
    if (err == 0) (void)write_marker(boot, cluster_id);
    boot->value = boot->state.value;
    return err;
}

static int find_or_found(struct first_boot *boot)
{
    const struct join_founding founding = {
        .user = boot, .start = on_start, .stop = on_stop, .receive = on_receive, .seeds = on_seeds, .unreachable = on_unreachable, .looked = on_looked};
    struct join_options join = boot->options->join;
    struct explanation explanation;
    struct uuid cluster_id;
    int err;

    join.founding = boot->founding == NULL ? NULL : &founding;
    join.dir_id = boot->self.dir;
    err = join_find_cluster(&join, &cluster_id, &explanation);
    if (err == MESH_EUNAUTHORIZED)
        log_error("cannot join: %s. %s", explanation.what, explanation.cure);
    else if (err != 0)
        log_error("cannot join error=\"%s\"", mesh_strerror(err));
    if (err != 0 || boot->is_done) return err;
    return note_membership(boot, &cluster_id);
}

static int settle(struct first_boot *boot)
{
    bool is_alone = boot->options->join.seed_count == 0;
    int err = is_alone || boot->options->expect > 0 ? new_founding(boot) : 0;

    if (err != 0) {
        log_error("cannot begin the first boot error=\"%s\"", mesh_strerror(err));
        return err;
    }
    if (!is_alone && boot->founding != NULL) founding_hold_alone(boot->founding, now_us(), true); /* until the seeds were looked at */
    if (!is_alone && boot->options->expect == 1 && is_later_pod())
        log_info("this is not the first pod of its StatefulSet: it founds no mesh by itself alone, and waits for the one that the first pods belong to");
    if (!is_alone) return find_or_found(boot);
    do { /* alone, nothing is waited for */
        founding_tick(boot->founding, now_us());
        drive(boot);
    } while (!boot->is_done && founding_due_us(boot->founding) <= now_us());
    if (boot->is_done) return boot->error;
    log_error("this broker founds no mesh: its marker says that there is one already; join that one"); /* told in full before */
    return MESH_EEXISTS;
}

int first_boot(const struct first_boot_options *options, struct founding_value *ret_value)
{
    struct first_boot boot = {.error = 0};
    char cluster[UUID_STRING_SIZE];
    int err = open_all(&boot, options);

    if (err == 0) err = settle(&boot);
    if (err == 0) {
        *ret_value = boot.value;
        log_info("%s cluster=%s", founding_value_has(&boot.value, &boot.self) ? "founded" : "joining", uuid_format(&boot.value.cluster, cluster));
    }
    close_all(&boot);
    return err;
}

int first_boot_recall(const struct first_boot_options *options, struct founding_value *ret_value)
{
    const struct uuid *cluster_id = &options->identity->cluster_id;
    struct first_boot boot = {.error = 0};
    char ours[UUID_STRING_SIZE], theirs[UUID_STRING_SIZE];
    int err = open_all(&boot, options);

    if (err == 0 && !uuid_is_zero(&boot.marker) && !uuid_equal(&boot.marker, cluster_id)) {
        log_error("the marker of the founding names another mesh than DIR/identity: one of the two was put in the wrong place; name the right one with "
                  "--founded-marker path=\"%s\" marker=\"%s\" identity=%s",
                  options->marker_path, uuid_format(&boot.marker, theirs), uuid_format(cluster_id, ours));
        err = MESH_EWRONG_MESH;
    }
    if (err == 0) {
        (void)write_marker(&boot, cluster_id);
        *ret_value = boot.state.value;
    }
    close_all(&boot);
    return err;
}

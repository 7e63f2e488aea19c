/* support/fs_gate.c - a copy of the file system's table of operations, with two of them behind a condition. */
#include "support/fs_gate.h"

#include <pthread.h>
#include <string.h>

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool is_shut;
    unsigned waiting;
    const char *thread_prefix;
    struct fs_ops ops;          /* what the file system has now */
    const struct fs_ops *inner; /* what it had */
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void pass(void)
{
    char name[16] = "";

    pthread_getname_np(pthread_self(), name, sizeof(name));
    if (strncmp(name, gate.thread_prefix, strlen(gate.thread_prefix)) != 0) return;
    pthread_mutex_lock(&gate.mutex);
    gate.waiting++;
    pthread_cond_broadcast(&gate.changed);
    while (gate.is_shut)
        pthread_cond_wait(&gate.changed, &gate.mutex);
    gate.waiting--;
    pthread_mutex_unlock(&gate.mutex);
}

static int gate_write_sync(struct fs_file *file, const struct iovec *iov, int iov_count, uint64_t position)
{
    pass();
    return gate.inner->write_sync(file, iov, iov_count, position);
}

static int gate_sync(struct fs_file *file)
{
    pass();
    return gate.inner->sync(file);
}

void fs_gate_install(struct fs *fs, const char *thread_prefix)
{
    gate.inner = fs->ops;
    gate.ops = *fs->ops;
    gate.ops.write_sync = gate_write_sync;
    gate.ops.sync = gate_sync;
    gate.thread_prefix = thread_prefix;
    gate.is_shut = false;
    fs->ops = &gate.ops;
}

static void set_shut(bool is_shut)
{
    pthread_mutex_lock(&gate.mutex);
    gate.is_shut = is_shut;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
}

void fs_gate_shut(void)
{
    set_shut(true);
}

void fs_gate_open(void)
{
    set_shut(false);
}

void fs_gate_wait(void)
{
    pthread_mutex_lock(&gate.mutex);
    while (gate.waiting == 0)
        pthread_cond_wait(&gate.changed, &gate.mutex);
    pthread_mutex_unlock(&gate.mutex);
}

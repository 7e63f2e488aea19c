/* pool.c - handles COUNT records of a topic on four threads, as a member of a group: each partition in order, different ones side by side. What was handled
 * is committed; a record whose handling fails for a while is tried again before anything behind it.
 *
 *     cc pool.c $(pkg-config --cflags --libs libmesh) -o pool
 *     ./pool orders billing 100
 */
#include <mesh/mesh.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* In a thread of the pool. */
static int handle(void *user, const struct mesh_consumed *record)
{
    atomic_ulong *handled = user;

    /* One call: lines of different threads do not mix. */
    if (printf("%d %.*s\n", (int)record->partition, (int)record->value_size, (const char *)record->value) < 0) return MESH_EAGAIN; /* later */
    atomic_fetch_add(handled, 1);
    return 0;
}

static int subscribe(struct mesh_consumer *consumer, const char *topic, const char *group)
{
    struct mesh_group_options *options = NULL;
    const char *const topics[] = {topic};
    int err = mesh_group_options_new(&options);

    if (err == 0) err = mesh_group_options_set(options, "group", group);
    if (err == 0) err = mesh_consumer_subscribe(consumer, options, topics, 1);
    mesh_group_options_free(options);
    return err;
}

static int run(struct mesh_consumer *consumer, unsigned long wanted)
{
    struct mesh_pool *pool = NULL;
    atomic_ulong handled = 0;
    int err = mesh_pool_new(consumer, 4, handle, &handled, &pool);

    while (err == 0 && atomic_load(&handled) < wanted)
        err = mesh_pool_run(pool, 100);
    if (err == 0) err = mesh_pool_drain(pool, 10000); /* what was read is handled, too */
    mesh_pool_free(pool);
    return err != 0 ? err : mesh_consumer_unsubscribe(consumer); /* commits, and leaves */
}

int main(int argc, char **argv)
{
    struct mesh_client *client = NULL;
    struct mesh_consumer *consumer = NULL;
    int err;

    if (argc != 4) {
        fprintf(stderr, "usage: pool TOPIC GROUP COUNT\n");
        return 2;
    }
    err = mesh_client_new(NULL, &client); /* $MESH_BROKER, else 127.0.0.1:9092 */
    if (err == 0) err = mesh_consumer_new(client, &consumer);
    if (err == 0) err = subscribe(consumer, argv[1], argv[2]);
    if (err == 0) err = run(consumer, strtoul(argv[3], NULL, 10));
    if (err != 0) fprintf(stderr, "pool: %s\n", client != NULL ? mesh_client_error(client) : mesh_strerror(err));
    mesh_consumer_free(consumer);
    mesh_client_free(client);
    return err == 0 ? 0 : 1;
}

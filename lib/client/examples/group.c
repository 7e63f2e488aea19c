/* group.c - prints COUNT records of a topic as a member of a group: start several, and they share it; stop and start them, and they go on where
 * the group stands.
 *
 *     cc group.c $(pkg-config --cflags --libs libmesh) -o group
 *     ./group orders billing 100
 */
#include <mesh/mesh.h>

#include <stdio.h>
#include <stdlib.h>

static void on_rebalance(void *user, struct mesh_consumer *consumer, struct mesh_rebalance *rebalance)
{
    static const char *const kinds[] = {"assigned", "revoked", "lost"};
    const char *topic;
    int32_t partition;
    int64_t offset;

    (void)user;
    (void)consumer;
    for (size_t i = 0; mesh_rebalance_get(rebalance, i, &topic, &partition, &offset) == 0; i++)
        fprintf(stderr, "%s: %s/%d at %lld\n", kinds[mesh_rebalance_kind(rebalance)], topic, (int)partition, (long long)offset);
}

static int subscribe(struct mesh_consumer *consumer, const char *topic, const char *group)
{
    struct mesh_group_options *options = NULL;
    const char *const topics[] = {topic};
    int err = mesh_group_options_new(&options);

    if (err == 0) err = mesh_group_options_set(options, "group", group);
    if (err == 0) err = mesh_group_options_set(options, "delivery", "at-least-once"); /* the default: handled is what the next poll follows */
    if (err == 0) err = mesh_consumer_subscribe(consumer, options, topics, 1);
    mesh_group_options_free(options);
    return err;
}

static int print_records(struct mesh_consumer *consumer, unsigned long wanted)
{
    struct mesh_consumed records[500];

    while (wanted > 0) {
        size_t max = wanted < 500 ? wanted : 500, count = 0;
        int err = mesh_consumer_poll(consumer, records, max, 1000, &count);

        if (err != 0) return err;
        for (size_t i = 0; i < count; i++) {
            fwrite(records[i].value, 1, records[i].value_size, stdout);
            putchar('\n');
        }
        fflush(stdout); /* what is out is handled */
        wanted -= count;
    }
    return mesh_consumer_unsubscribe(consumer); /* commits what the last poll returned, too, and leaves */
}

int main(int argc, char **argv)
{
    struct mesh_client *client = NULL;
    struct mesh_consumer *consumer = NULL;
    int err;

    if (argc != 4) {
        fprintf(stderr, "usage: group TOPIC GROUP COUNT\n");
        return 2;
    }
    err = mesh_client_new(NULL, &client); /* $MESH_BROKER, else 127.0.0.1:9092 */
    if (err == 0) err = mesh_consumer_new(client, &consumer);
    if (err == 0) mesh_consumer_on_rebalance(consumer, on_rebalance, NULL);
    if (err == 0) err = subscribe(consumer, argv[1], argv[2]);
    if (err == 0) err = print_records(consumer, strtoul(argv[3], NULL, 10));
    if (err != 0) fprintf(stderr, "group: %s\n", client != NULL ? mesh_client_error(client) : mesh_strerror(err));
    mesh_consumer_free(consumer);
    mesh_client_free(client);
    return err == 0 ? 0 : 1;
}

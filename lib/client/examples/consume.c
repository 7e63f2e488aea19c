/* consume.c - prints the first COUNT records of a topic, one a line, from its beginning.
 *
 *     cc consume.c $(pkg-config --cflags --libs libmesh) -o consume
 *     ./consume orders 100
 */
#include <mesh/mesh.h>

#include <stdio.h>
#include <stdlib.h>

/* Reads until `wanted` records were printed. Order holds within a partition. */
static int print_records(struct mesh_consumer *consumer, unsigned long wanted)
{
    struct mesh_consumed records[500];

    while (wanted > 0) {
        size_t max = wanted < 500 ? wanted : 500, count = 0;
        int err = mesh_consumer_poll(consumer, records, max, 1000,
                                     &count); /* waits for the first, at most a second */

        if (err != 0) return err; /* for example MESH_EOFFSET_OUT_OF_RANGE: seek, then go on */
        for (size_t i = 0; i < count; i++) {
            /* Keys and values are borrowed until the next poll. */
            fwrite(records[i].value, 1, records[i].value_size, stdout);
            putchar('\n');
        }
        wanted -= count;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct mesh_client *client = NULL;
    struct mesh_consumer *consumer = NULL;
    int err;

    if (argc != 3) {
        fprintf(stderr, "usage: consume TOPIC COUNT\n");
        return 2;
    }
    err = mesh_client_new(NULL, &client); /* $MESH_BROKER, else 127.0.0.1:9092 */
    if (err == 0) err = mesh_consumer_new(client, &consumer);
    if (err == 0)
        err = mesh_consumer_assign(consumer, argv[1], -1, MESH_OFFSET_BEGINNING); /* -1: every partition */
    if (err == 0) err = print_records(consumer, strtoul(argv[2], NULL, 10));
    if (err != 0)
        fprintf(stderr, "consume: %s\n", client != NULL ? mesh_client_error(client) : mesh_strerror(err));
    mesh_consumer_free(consumer);
    mesh_client_free(client);
    return err == 0 ? 0 : 1;
}

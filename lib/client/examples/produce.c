/* produce.c - sends the lines of standard input to a topic and reports what became of them.
 *
 *     cc produce.c $(pkg-config --cflags --libs libmesh) -o produce
 *     ./produce orders < file
 */
#include <mesh/mesh.h>

#include <stdio.h>
#include <string.h>

struct tally {
    unsigned long delivered, failed, unknown;
};

/* Runs for every record, in the order of sending within a partition, inside a call into the client. */
static void on_delivery(void *user, const struct mesh_receipt *receipt)
{
    struct tally *tally = user;

    switch (receipt->status) {
    case MESH_DELIVERED: tally->delivered++; break;
    case MESH_DELIVERY_FAILED:
        tally->failed++;
        fprintf(stderr, "not stored: %s\n", mesh_strerror(receipt->error));
        break;
    case MESH_DELIVERY_UNKNOWN: /* no answer in time: it may or may not be stored */
        tally->unknown++;
        fprintf(stderr, "fate unknown: %s\n", mesh_strerror(receipt->error));
        break;
    }
}

static int send_lines(struct mesh_client *client, struct mesh_producer *producer, struct tally *tally)
{
    char line[65536];

    while (fgets(line, sizeof(line), stdin) != NULL) {
        struct mesh_record record = {
            .value = line, .value_size = strcspn(line, "\n"), .partition = MESH_PARTITION_ANY};
        int err =
            mesh_producer_send(producer, &record, on_delivery, tally); /* copies the record, does not wait */

        while (err == MESH_EQUEUEFULL) { /* the producer's memory is used up: let the broker catch up */
            mesh_client_poll(client, -1);
            err = mesh_producer_send(producer, &record, on_delivery, tally);
        }
        if (err != 0) return err;
    }
    return mesh_producer_flush(producer, -1); /* every record has been told to on_delivery() after this */
}

int main(int argc, char **argv)
{
    struct mesh_client *client = NULL;
    struct mesh_producer *producer = NULL;
    struct tally tally = {0, 0, 0};
    int err;

    if (argc != 2) {
        fprintf(stderr, "usage: produce TOPIC < lines\n");
        return 2;
    }
    err = mesh_client_new(NULL, &client); /* $MESH_BROKER, else 127.0.0.1:9092 */
    if (err == 0) err = mesh_producer_new(client, argv[1], &producer);
    if (err == 0) err = send_lines(client, producer, &tally);
    if (err != 0)
        fprintf(stderr, "produce: %s\n", client != NULL ? mesh_client_error(client) : mesh_strerror(err));
    mesh_producer_free(producer);
    mesh_client_free(client);
    printf("%lu delivered, %lu failed, %lu unknown\n", tally.delivered, tally.failed, tally.unknown);
    return err == 0 && tally.failed + tally.unknown == 0 ? 0 : 1;
}

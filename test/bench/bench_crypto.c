/* What lib/crypto costs: ns per packet sealed and opened (and refused), us per signature and handshake, MB/s of frames in
 * both ciphers. Best of several rounds, one line per figure; judged by people, not by ctest.
 *
 * Usage: bench_crypto [packet bytes] */
#include "base/clock.h"
#include "crypto/channel.h"
#include "crypto/crypto.h"
#include "crypto/sealed_packet.h"

#include <stdio.h>
#include <stdlib.h>

#define ROUNDS       15
#define ROUND_NS_MIN 10000000u
#define FRAME_MAX    (1u << 20)

struct bench {
    struct keyring *ring;
    struct identity_key identities[2];
    struct packet_sealer *sender, *receiver;
    struct channel *channels[2];
    size_t text_size;
    uint8_t packet[SEALED_PACKET_SIZE_MAX], copy[SEALED_PACKET_SIZE_MAX];
    uint8_t frame[FRAME_MAX + CHANNEL_FRAME_OVERHEAD];
    uint8_t signature[IDENTITY_SIGNATURE_SIZE];
};

static void require(bool ok)
{
    if (ok) return;
    fprintf(stderr, "bench_crypto: unexpected failure\n");
    exit(1);
}

static void seal(struct bench *bench)
{
    require(packet_sealer_seal(bench->sender, bench->packet, bench->text_size) == 0);
}

static void seal_and_open(struct bench *bench)
{
    struct opened_packet opened;

    seal(bench);
    require(packet_sealer_open(bench->receiver, bench->packet, bench->text_size + SEALED_PACKET_OVERHEAD, &opened) == PACKET_OK);
}

/* Of a sender that is not known: its key is derived each time. */
static void refuse_forged(struct bench *bench)
{
    struct opened_packet opened;

    memcpy(bench->copy, bench->packet, bench->text_size + SEALED_PACKET_OVERHEAD);
    bench->copy[12] += 9;
    require(packet_sealer_open(bench->receiver, bench->copy, bench->text_size + SEALED_PACKET_OVERHEAD, &opened) ==
            PACKET_FORGED);
}

static void refuse_replayed(struct bench *bench)
{
    struct opened_packet opened;

    memcpy(bench->copy, bench->packet, SEALED_PACKET_HEADER_SIZE);
    require(packet_sealer_open(bench->receiver, bench->copy, bench->text_size + SEALED_PACKET_OVERHEAD, &opened) ==
            PACKET_REPLAYED);
}

static void sign(struct bench *bench)
{
    identity_sign(&bench->identities[0], IDENTITY_GOSSIP, slice_of(bench->packet, 200), bench->signature);
}

static void verify(struct bench *bench)
{
    require(identity_verify(&bench->identities[0].id, bench->identities[0].public_key, IDENTITY_GOSSIP,
                            slice_of(bench->packet, 200), bench->signature));
}

/* Both ends of a handshake, all three messages. */
static void shake_hands(struct bench *bench, uint8_t ciphers)
{
    struct channel_step steps[4];

    for (int i = 0; i < 2; i++) {
        struct channel_options options = {.is_initiator = i == 0, .keyring = bench->ring, .identity = &bench->identities[i],
                                          .ciphers = ciphers, .random = {(uint8_t)i, 1}};
        channel_free(bench->channels[i]);
        require(channel_new(&options, &bench->channels[i]) == 0);
    }
    channel_step(bench->channels[0], slice_of(NULL, 0), &steps[0]);
    for (int i = 0; i < 3; i++)
        channel_step(bench->channels[i % 2 == 0], slice_of(steps[i].out, steps[i].out_size), &steps[i + 1]);
    require(channel_state(bench->channels[1]) == CHANNEL_OPEN);
}

static void shake(struct bench *bench)
{
    shake_hands(bench, 0);
}

static void frame(struct bench *bench, size_t size)
{
    struct channel_frame opened;

    require(channel_seal(bench->channels[0], 1, slice_of(bench->frame + CHANNEL_FRAME_HEADER_SIZE, size), bench->frame) == 0);
    require(channel_open(bench->channels[1], bench->frame, size + CHANNEL_FRAME_OVERHEAD, &opened) == 0);
}

static void frame_100(struct bench *bench)
{
    frame(bench, 100);
}

static void frame_16k(struct bench *bench)
{
    frame(bench, 16384);
}

static void frame_1m(struct bench *bench)
{
    frame(bench, FRAME_MAX);
}

/* Runs `step` in rounds; the ns of one step in the best round. */
static double measure(struct bench *bench, void (*step)(struct bench *bench))
{
    double best = 1e300;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = clock_monotonic_ns(), now, steps = 0;
        do {
            for (int i = 0; i < 8; i++)
                step(bench);
            steps += 8;
            now = clock_monotonic_ns();
        } while (now - start < ROUND_NS_MIN);
        if ((double)(now - start) / (double)steps < best) best = (double)(now - start) / (double)steps;
    }
    return best;
}

static void set_up(struct bench *bench)
{
    uint8_t bytes[CLUSTER_KEY_SIZE] = {1};
    struct packet_sealer_options options = {.sender = {{1}}, .boot = 1, .senders_max = 4096};
    struct cluster_key key;

    crypto_init();
    bench->ring = keyring_new();
    cluster_key_init(&key, bytes);
    keyring_install(bench->ring, &key);
    for (uint8_t i = 0; i < 2; i++) {
        uint8_t seed[IDENTITY_SEED_SIZE] = {i};
        identity_key_init(&bench->identities[i], seed);
    }
    options.keyring = bench->ring;
    require(packet_sealer_new(&options, &bench->sender) == 0);
    options.sender.bytes[0] = 2;
    require(packet_sealer_new(&options, &bench->receiver) == 0);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        uint8_t offered;
    } ciphers[] = {{"XChaCha20-Poly1305", 0}, {"AES-256-GCM", CHANNEL_AES256_GCM}, {"AES-128-GCM", CHANNEL_AES128_GCM}};
    struct bench *bench = calloc(1, sizeof *bench);
    double seal_ns;

    require(bench != NULL);
    bench->text_size = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    require(bench->text_size <= 1174);
    set_up(bench);
    seal_ns = measure(bench, seal);
    printf("packet of %zu bytes: seal %.0f ns, open %.0f ns\n", bench->text_size, seal_ns,
           measure(bench, seal_and_open) - seal_ns);
    printf("packet refused: forged %.0f ns, replayed %.0f ns\n", measure(bench, refuse_forged), measure(bench, refuse_replayed));
    printf("identity: sign %.1f us,", measure(bench, sign) / 1e3);
    printf(" verify %.1f us\n", measure(bench, verify) / 1e3);
    printf("handshake, both ends: %.0f us\n", measure(bench, shake) / 1e3);
    for (size_t i = 0; i < sizeof ciphers / sizeof ciphers[0]; i++) {
        double ns_100, ns_16k, ns_1m;
        if ((ciphers[i].offered & ~channel_ciphers_here()) != 0) continue;
        shake_hands(bench, ciphers[i].offered);
        ns_100 = measure(bench, frame_100);
        ns_16k = measure(bench, frame_16k);
        ns_1m = measure(bench, frame_1m);
        printf("%s: seal and open 100 B %.0f ns; 16 KiB %.0f MB/s, 1 MiB %.0f MB/s each\n",
               ciphers[i].name, ns_100, 2 * 16384e3 / ns_16k, 2 * FRAME_MAX * 1e3 / ns_1m);
    }
    return 0;
}

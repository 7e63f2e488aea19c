/* wire.c - the network between the machines of a chaos run, as one process.
 *
 *     wire COUNT SEED
 *
 * Makes COUNT tun devices (mesh0, mesh1, ...) in the network namespace that it is started in; whoever started
 * it moves each into the namespace of its machine and gives it the address 10.77.0.(NUMBER + 1). Every packet
 * between machines then passes here, and each direction of each pair has its own faults. Kernels need neither
 * netem nor a firewall for it, and what a kernel cannot do is easy: one-way cuts, reordering, large packets
 * that vanish, flipped bits whose checksum is right.
 *
 * Orders on standard input, one a line, each answered by a line "ok" (or "? ..."):
 *     link FROM TO [cut] [udp] [tcp] [drop=P] [dup=P] [flip=P] [delay=MS] [jitter=MS] [mtu=BYTES]
 * FROM and TO are numbers or *; a link gets exactly what its last order says, so no words mean a link without
 * faults. `udp` and `tcp` cut that protocol alone. P is parts of a million. Ends with its standard input.
 * Prints "ready" when the devices are there. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define MACHINES_MAX     16
#define PACKET_BYTES_MAX 9216
#define QUEUE_MAX        65536u /* packets under way; more are dropped, as a router does */
#define MILLION          1000000u

struct link {
    bool is_cut, is_udp_cut, is_tcp_cut;
    uint32_t drop, dup, flip; /* parts of a million */
    uint32_t delay_ms, jitter_ms, mtu;
};

struct packet {
    uint64_t due_ns, number; /* number: packets that are due together keep their order */
    int to;
    size_t size;
    unsigned char bytes[];
};

struct wire {
    int count;
    int fds[MACHINES_MAX];
    struct link links[MACHINES_MAX][MACHINES_MAX];
    struct packet *heap[QUEUE_MAX];
    size_t queued;
    uint64_t random, next_number;
    char orders[65536];
    size_t orders_size;
};

static struct wire wire;

static uint64_t random_next(void) /* splitmix64 */
{
    uint64_t z = (wire.random += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool chance(uint32_t parts)
{
    return parts > 0 && random_next() % MILLION < parts;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool is_before(const struct packet *a, const struct packet *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->number < b->number;
}

static void heap_push(struct packet *packet)
{
    size_t at = wire.queued++;

    for (; at > 0 && is_before(packet, wire.heap[(at - 1) / 2]); at = (at - 1) / 2)
        wire.heap[at] = wire.heap[(at - 1) / 2];
    wire.heap[at] = packet;
}

static struct packet *heap_pop(void)
{
    struct packet *first = wire.heap[0], *last = wire.heap[--wire.queued];
    size_t at = 0, child;

    while ((child = 2 * at + 1) < wire.queued) {
        if (child + 1 < wire.queued && is_before(wire.heap[child + 1], wire.heap[child])) child++;
        if (!is_before(wire.heap[child], last)) break;
        wire.heap[at] = wire.heap[child];
        at = child;
    }
    wire.heap[at] = last;
    return first;
}

/* What does not fit there, or whose device is gone, is lost, as on any wire. */
static void deliver(int to, const unsigned char *bytes, size_t size)
{
    ssize_t written = write(wire.fds[to], bytes, size);

    (void)written;
}

/* Flips one bit of what a TCP segment carries, and mends the checksum: as a router with bad memory does. */
static void flip_a_bit(unsigned char *bytes, size_t size)
{
    struct ip *ip = (struct ip *)(void *)bytes;
    size_t ip_size = (size_t)ip->ip_hl * 4, begin, at;
    uint16_t before, after, checksum;
    uint32_t sum;

    if (ip->ip_p != IPPROTO_TCP || size < ip_size + sizeof(struct tcphdr)) return;
    begin = ip_size + (size_t)((struct tcphdr *)(void *)(bytes + ip_size))->th_off * 4;
    if (begin + 2 > size) return;
    at = begin + (random_next() % (size - begin - 1)) / 2 * 2;
    memcpy(&before, bytes + at, 2);
    bytes[at + random_next() % 2] ^= (unsigned char)(1u << random_next() % 8);
    memcpy(&after, bytes + at, 2);
    memcpy(&checksum, bytes + ip_size + 16, 2);
    sum = (uint32_t)(uint16_t)~checksum + (uint32_t)(uint16_t)~before + after; /* RFC 1624 */
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    checksum = (uint16_t)~sum;
    memcpy(bytes + ip_size + 16, &checksum, 2);
}

static void send_over(const struct link *link, int to, const unsigned char *bytes, size_t size, uint64_t now)
{
    uint64_t delay_ns = (uint64_t)link->delay_ms * 1000000u;
    struct packet *packet;

    if (link->jitter_ms > 0) delay_ns += random_next() % ((uint64_t)link->jitter_ms * 1000000u);
    if (delay_ns == 0) {
        deliver(to, bytes, size);
        return;
    }
    if (wire.queued == QUEUE_MAX) return;
    packet = malloc(sizeof(*packet) + size);
    if (packet == NULL) return;
    packet->due_ns = now + delay_ns;
    packet->number = wire.next_number++;
    packet->to = to;
    packet->size = size;
    memcpy(packet->bytes, bytes, size);
    heap_push(packet);
}

static void route(int from, unsigned char *bytes, size_t size, uint64_t now)
{
    const struct ip *ip = (const struct ip *)(const void *)bytes;
    const struct link *link;
    int to;

    if (size < sizeof(*ip) || ip->ip_v != 4) return;
    to = (int)(ntohl(ip->ip_dst.s_addr) & 0xff) - 1;
    if (to < 0 || to >= wire.count) return;
    link = &wire.links[from][to];
    if (link->is_cut || (link->is_udp_cut && ip->ip_p == IPPROTO_UDP) ||
        (link->is_tcp_cut && ip->ip_p == IPPROTO_TCP))
        return;
    if ((link->mtu > 0 && size > link->mtu) || chance(link->drop)) return;
    if (chance(link->flip)) flip_a_bit(bytes, size);
    if (chance(link->dup)) send_over(link, to, bytes, size, now);
    send_over(link, to, bytes, size, now);
}

/* ---- orders ---- */

static bool parse_number(const char *word, const char *name, uint32_t *ret_value)
{
    size_t length = strlen(name);
    char *end;
    unsigned long value;

    if (strncmp(word, name, length) != 0 || word[length] == '\0') return false;
    value = strtoul(word + length, &end, 10);
    if (*end != '\0' || value > UINT32_MAX) return false;
    *ret_value = (uint32_t)value;
    return true;
}

static bool parse_fault(const char *word, struct link *link)
{
    if (strcmp(word, "cut") == 0) return link->is_cut = true;
    if (strcmp(word, "udp") == 0) return link->is_udp_cut = true;
    if (strcmp(word, "tcp") == 0) return link->is_tcp_cut = true;
    return parse_number(word, "drop=", &link->drop) || parse_number(word, "dup=", &link->dup) ||
           parse_number(word, "flip=", &link->flip) || parse_number(word, "delay=", &link->delay_ms) ||
           parse_number(word, "jitter=", &link->jitter_ms) || parse_number(word, "mtu=", &link->mtu);
}

/* The range of machines that a word names. */
static bool parse_end(const char *word, int *ret_first, int *ret_last)
{
    uint32_t number;

    *ret_first = 0;
    *ret_last = wire.count - 1;
    if (word != NULL && strcmp(word, "*") == 0) return true;
    if (word == NULL || !parse_number(word, "", &number) || number >= (uint32_t)wire.count) return false;
    *ret_first = *ret_last = (int)number;
    return true;
}

static bool obey(char *line)
{
    struct link link = {0};
    char *rest = NULL, *word = strtok_r(line, " ", &rest);
    int from, from_last, to_first, to_last;

    if (word == NULL || strcmp(word, "link") != 0 ||
        !parse_end(strtok_r(NULL, " ", &rest), &from, &from_last) ||
        !parse_end(strtok_r(NULL, " ", &rest), &to_first, &to_last))
        return false;
    while ((word = strtok_r(NULL, " ", &rest)) != NULL)
        if (!parse_fault(word, &link)) return false;
    for (; from <= from_last; from++)
        for (int to = to_first; to <= to_last; to++)
            wire.links[from][to] = link;
    return true;
}

/* False: the end of the input. */
static bool read_orders(void)
{
    ssize_t got = read(STDIN_FILENO, wire.orders + wire.orders_size, sizeof(wire.orders) - wire.orders_size);
    char *line = wire.orders, *end;

    if (got <= 0) return got < 0 && errno == EINTR;
    wire.orders_size += (size_t)got;
    while ((end = memchr(line, '\n', wire.orders_size - (size_t)(line - wire.orders))) != NULL) {
        *end = '\0';
        puts(obey(line) ? "ok" : "? this order is not understood");
        line = end + 1;
    }
    fflush(stdout);
    wire.orders_size -= (size_t)(line - wire.orders);
    memmove(wire.orders, line, wire.orders_size);
    return wire.orders_size < sizeof(wire.orders); /* nobody gives orders that long */
}

/* ---- the loop ---- */

static int open_device(int number)
{
    struct ifreq request = {0};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0) return -1;
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    snprintf(request.ifr_name, sizeof(request.ifr_name), "mesh%d", number);
    if (ioctl(fd, TUNSETIFF, &request) == 0) return fd;
    close(fd);
    return -1;
}

static void drain(int from)
{
    unsigned char bytes[PACKET_BYTES_MAX];
    uint64_t now = now_ns();

    for (int i = 0; i < 64; i++) { /* then the others have their turn */
        ssize_t size = read(wire.fds[from], bytes, sizeof(bytes));

        if (size <= 0) return;
        route(from, bytes, (size_t)size, now);
    }
}

static void deliver_what_is_due(void)
{
    uint64_t now = now_ns();

    while (wire.queued > 0 && wire.heap[0]->due_ns <= now) {
        struct packet *packet = heap_pop();

        deliver(packet->to, packet->bytes, packet->size);
        free(packet);
    }
}

static void run(void)
{
    struct pollfd polled[MACHINES_MAX + 1];

    for (int i = 0; i < wire.count; i++)
        polled[i] = (struct pollfd){.fd = wire.fds[i], .events = POLLIN};
    polled[wire.count] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    for (;;) {
        struct timespec wait = {0}, *timeout = NULL;
        uint64_t now = now_ns();

        if (wire.queued > 0) {
            uint64_t left = wire.heap[0]->due_ns > now ? wire.heap[0]->due_ns - now : 0;

            wait = (struct timespec){.tv_sec = (time_t)(left / 1000000000u),
                                     .tv_nsec = (long)(left % 1000000000u)};
            timeout = &wait;
        }
        if (ppoll(polled, (nfds_t)wire.count + 1, timeout, NULL) < 0 && errno != EINTR) return;
        deliver_what_is_due();
        for (int i = 0; i < wire.count; i++)
            if (polled[i].revents != 0) drain(i);
        if (polled[wire.count].revents != 0 && !read_orders()) return;
    }
}

int main(int argc, char **argv)
{
    uint32_t count, seed;

    if (argc != 3 || !parse_number(argv[1], "", &count) || !parse_number(argv[2], "", &seed) || count == 0 ||
        count > MACHINES_MAX) {
        fprintf(stderr, "usage: wire COUNT SEED (at most %d machines)\n", MACHINES_MAX);
        return 2;
    }
    wire.count = (int)count;
    wire.random = seed;
    for (int i = 0; i < wire.count; i++) {
        wire.fds[i] = open_device(i);
        if (wire.fds[i] < 0) {
            fprintf(stderr, "wire: no tun device: %s\n", strerror(errno));
            return 1;
        }
    }
    puts("ready");
    fflush(stdout);
    run();
    return 0;
}

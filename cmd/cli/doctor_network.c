/* doctor_network.c - the port, the address that others are told, the seeds, and how far their clocks are from this one. */
#include "cmd/cli/doctor.h"

#include "base/address.h"
#include "base/clock.h"
#include "base/error.h"
#include "cmd/broker/broker.h"

#include <mesh/mesh.h>

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTEN_DEFAULT  "127.0.0.1:9092"
#define CONNECT_MS      2000
#define SKEW_WARNING_MS 1000
#define SKEW_ERROR_MS   60000

/* ---- the port ---- */

static void check_port(struct doctor *doctor, const char *listen)
{
    char message[BROKER_PORT_MESSAGE_SIZE];
    int udp_errno, err = broker_try_port(listen, &udp_errno, message);

    if (err != 0) {
        doctor_find(doctor, DOCTOR_ERROR, "port", err == MESH_EBUSY ? "'ss -ltnp' names who has it; another one is chosen with --listen HOST:PORT" : "choose another one with --listen HOST:PORT",
                    "%s", message);
        return;
    }
    doctor_find(doctor, DOCTOR_OK, "port", "", "%.200s is free", listen);
    if (udp_errno != 0)
        doctor_find(doctor, DOCTOR_WARNING, "port", "gossip would take its links instead, and be slower: free it ('ss -ulnp' names who has it)", "UDP %.200s: %s", listen,
                    strerror(udp_errno));
}

/* ---- what others are told ---- */

static bool is_loopback_host(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0;
}

/* Whether any seed may be on another machine. */
static bool has_strangers(const struct doctor *doctor)
{
    struct seed seed;

    for (size_t i = 0; i < doctor->arguments->operand_count; i++)
        if (seed_parse(doctor->arguments->operands[i], &seed) == 0 && !is_loopback_host(seed.address.host)) return true;
    return false;
}

/* The host of "HOST:PORT", "[IPV6]:PORT" or "HOST"; any port, also 0. */
static void host_of(const char *address, char to[ADDRESS_HOST_SIZE])
{
    const char *end = address[0] == '[' ? strchr(address, ']') : strrchr(address, ':');
    size_t skip = address[0] == '[', size = end == NULL ? strlen(address) : (size_t)(end - address);

    snprintf(to, ADDRESS_HOST_SIZE, "%.*s", (int)(size - skip), address + skip);
}

static void check_address(struct doctor *doctor, const char *listen)
{
    const char *advertise = doctor->settings->advertise;
    char host[ADDRESS_HOST_SIZE];

    host_of(advertise != NULL ? advertise : listen, host);
    if (is_loopback_host(host) && has_strangers(doctor))
        doctor_find(doctor, DOCTOR_ERROR, "address",
                    advertise != NULL ? "advertise an address of this machine that the others reach" : "listen on one that the others reach: --listen 0.0.0.0:9092, say",
                    "others are told %.200s, which is their own machine to them", host);
    else if (is_loopback_host(host))
        doctor_find(doctor, DOCTOR_OK, "address", "", "%.200s: for this machine alone", host);
    else
        doctor_find(doctor, DOCTOR_OK, "address", "", "others are told %.200s", advertise != NULL ? advertise : listen);
}

/* ---- seeds ---- */

/* 0, or errno. */
static int dial(const struct addrinfo *to)
{
    int fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    socklen_t size = sizeof(error);

    if (fd < 0) return errno;
    if (connect(fd, to->ai_addr, to->ai_addrlen) != 0) error = errno;
    if (error == EINPROGRESS) {
        error = poll(&wait, 1, CONNECT_MS) == 1 ? 0 : ETIMEDOUT;
        if (error == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    }
    close(fd);
    return error;
}

/* How far its clock is from this one, by what it answers and half of the way there and back. */
static void check_skew(struct doctor *doctor, const char *seed)
{
    int64_t before_ms = clock_wall_ms(), after_ms, skew_ms;
    struct mesh_client *client;
    struct mesh_events *events;

    if (mesh_client_new(seed, &client) != 0) return;
    (void)mesh_client_set_timeout_ms(client, CONNECT_MS);
    (void)mesh_client_set_refused_timeout_ms(client, 1);
    if (mesh_events_get(client, NULL, UINT64_MAX, 0, &events) == 0) {
        after_ms = clock_wall_ms();
        skew_ms = (int64_t)mesh_events_info(events)->now_ms - (before_ms + (after_ms - before_ms) / 2);
        mesh_events_free(events);
        if (skew_ms < 0) skew_ms = -skew_ms;
        skew_ms -= (after_ms - before_ms) / 2; /* what the way may hide */
        if (skew_ms < SKEW_WARNING_MS)
            doctor_find(doctor, DOCTOR_OK, "clock", "", "in step with %.200s", seed);
        else
            doctor_find(doctor, skew_ms < SKEW_ERROR_MS ? DOCTOR_WARNING : DOCTOR_ERROR, "clock", "set both by the same source (chrony): times of records and retention go by it",
                        "%lld ms apart from %.200s", (long long)skew_ms, seed);
    }
    mesh_client_free(client);
}

static void check_host(struct doctor *doctor, const struct seed *seed, const char *text)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found, *at;
    char port[8];
    int err, error = 0;

    snprintf(port, sizeof(port), "%u", seed->address.port);
    err = getaddrinfo(seed->address.host, port, &hints, &found);
    if (err != 0) {
        doctor_find(doctor, DOCTOR_ERROR, "seed", "a broker would go on asking: is the name right, and is there a name server?", "%.200s: %s", text, gai_strerror(err));
        return;
    }
    for (at = found; at != NULL; at = at->ai_next)
        if ((error = dial(at)) == 0) break;
    freeaddrinfo(found);
    if (at == NULL) {
        doctor_find(doctor, DOCTOR_WARNING, "seed", "on a first boot the others may still come; else: does it run, on this port, and does a firewall let this machine through?", "%.200s: %s",
                    text, strerror(error));
        return;
    }
    doctor_find(doctor, DOCTOR_OK, "seed", "", "%.200s can be reached", text);
    check_skew(doctor, text);
}

static void check_seed(struct doctor *doctor, const char *text)
{
    struct seed seed;

    if (seed_parse(text, &seed) != 0)
        doctor_find(doctor, DOCTOR_ERROR, "seed", "write HOST, HOST:PORT, [IPV6]:PORT or _service._tcp.NAME", "'%.200s' is none", text);
    else if (seed.kind == SEED_SERVICE)
        doctor_find(doctor, DOCTOR_WARNING, "seed", "name one of its hosts to have it looked at", "%.200s: service records are looked up by brokers alone", text);
    else
        check_host(doctor, &seed, text);
}

void doctor_network(struct doctor *doctor)
{
    const char *listen = doctor->settings->listen != NULL ? doctor->settings->listen : LISTEN_DEFAULT;

    check_port(doctor, listen);
    if (doctor->settings->gateway_listen != NULL) check_port(doctor, doctor->settings->gateway_listen);
    check_address(doctor, listen);
    for (size_t i = 0; i < doctor->arguments->operand_count; i++)
        check_seed(doctor, doctor->arguments->operands[i]);
}

/* doctor_network.c - the port, the address that others are told, the seeds, and how far their clocks are from this one. */
#include "cmd/cli/doctor.h"

#include "base/address.h"
#include "base/error.h"
#include "base/random.h"
#include "cmd/broker/broker.h"
#include "crypto/crypto.h"

#include <ctype.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LISTEN_DEFAULT  "127.0.0.1:9092"

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

/* The machine's name is what others are told of a broker that listens everywhere, as long as it can be looked up here. */
static void check_machine_name(struct doctor *doctor)
{
    static const char remedy[] = "name an address of this machine that the others reach: --advertise HOST";
    char name[ADDRESS_HOST_SIZE];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    struct net_address address;
    bool is_local;

    if (gethostname(name, sizeof(name)) != 0 || getaddrinfo(name, NULL, &hints, &found) != 0) {
        doctor_find(doctor, has_strangers(doctor) ? DOCTOR_ERROR : DOCTOR_WARNING, "address", remedy,
                    "clients would be told 127.0.0.1: the name of this machine cannot be looked up");
        return;
    }
    is_local = net_address_from_sockaddr(found->ai_addr, &address) == 0 && net_address_is_loopback(&address);
    freeaddrinfo(found);
    /* Also many who are told this name look it up themselves, and rightly: on this machine alone it may lead back to itself (127.0.1.1 of Debian). */
    doctor_find(doctor, has_strangers(doctor) && is_local ? DOCTOR_WARNING : DOCTOR_OK, "address", has_strangers(doctor) && is_local ? remedy : "",
                "clients are told the name of this machine, %.200s%s", name, is_local ? ", which leads to itself here" : "");
}

static void check_advertised(struct doctor *doctor, const char *advertise)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    char host[ADDRESS_HOST_SIZE];
    struct net_address address;
    bool is_local, is_wildcard;
    const char *colon = strrchr(advertise, ':');
    int err;

    host_of(advertise, host);
    err = getaddrinfo(host, NULL, &hints, &found);
    if (err != 0) {
        doctor_find(doctor, DOCTOR_ERROR, "address", "write HOST or HOST:PORT, a name or an address that the other brokers and clients reach", "cannot advertise %.200s: %s", advertise,
                    gai_strerror(err));
        return;
    }
    err = net_address_from_sockaddr(found->ai_addr, &address);
    freeaddrinfo(found);
    is_local = err == 0 && net_address_is_loopback(&address);
    is_wildcard = err == 0 && net_address_is_wildcard(&address);
    if (is_wildcard || (colon != NULL && strcmp(colon, ":0") == 0))
        doctor_find(doctor, DOCTOR_ERROR, "address", "advertise an address of this machine that the others reach", "%.200s is no address that anybody could dial", advertise);
    else if (is_local && has_strangers(doctor))
        doctor_find(doctor, DOCTOR_ERROR, "address", "advertise an address of this machine that the others reach", "others are told %.200s, which is their own machine to them", advertise);
    else
        doctor_find(doctor, DOCTOR_OK, "address", "", "others are told %.200s%s", advertise, is_local ? ": for this machine alone" : "");
}

static void check_address(struct doctor *doctor, const char *listen)
{
    char host[ADDRESS_HOST_SIZE];

    host_of(listen, host);
    if (doctor->settings->advertise != NULL)
        check_advertised(doctor, doctor->settings->advertise);
    else if (host[0] == '\0' || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0)
        check_machine_name(doctor);
    else if (is_loopback_host(host) && has_strangers(doctor))
        doctor_find(doctor, DOCTOR_ERROR, "address", "listen on one that the others reach: --listen 0.0.0.0:9092, say", "others are told %.200s, which is their own machine to them", host);
    else if (is_loopback_host(host))
        doctor_find(doctor, DOCTOR_OK, "address", "", "%.200s: for this machine alone", host);
    else
        doctor_find(doctor, DOCTOR_OK, "address", "", "others are told %.200s", listen);
}

/* ---- seeds ---- */

/* A cure stands behind a colon here. */
static const char *cure_text(const struct explanation *explanation, char to[EXPLANATION_SIZE])
{
    size_t size = strlen(explanation->cure);

    memcpy(to, explanation->cure, size + 1);
    to[0] = (char)tolower((unsigned char)to[0]);
    if (size > 0 && to[size - 1] == '.') to[size - 1] = '\0';
    return to;
}

/* Its clock, as far as the way there lets it be judged. */
static void check_skew(struct doctor *doctor, const struct probe_finding *finding, const char *address)
{
    int64_t apart_ms = llabs(finding->clock_ms) - finding->clock_uncertain_ms;

    if (apart_ms < CLOCK_WARN_MS)
        doctor_find(doctor, DOCTOR_OK, "clock", "", "in step with %.200s", address);
    else
        doctor_find(doctor, apart_ms < CLOCK_REFUSE_MS ? DOCTOR_WARNING : DOCTOR_ERROR, "clock",
                    "set both by the same source (chrony): times of records and retention go by it, and beyond a minute nobody joins", "%lld ms apart from %.200s", (long long)apart_ms,
                    address);
}

static void check_found(void *user, const struct probe_finding *finding)
{
    struct doctor *doctor = user;
    char address[NET_ADDRESS_STRING_SIZE] = "", cure[EXPLANATION_SIZE];

    if (finding->address != NULL) net_address_format(finding->address, address);
    cure_text(&finding->explanation, cure);
    if (finding->state == PROBE_SILENT)
        doctor_find(doctor, finding->explanation.is_permanent ? DOCTOR_ERROR : DOCTOR_WARNING, "seed",
                    "on a first boot the others may still come; else: does it run, on this port, and does a firewall let this machine through?", "%s", finding->explanation.what);
    else if (finding->failure == CHANNEL_FAILURE_WRONG_KEY && doctor->keyring == NULL)
        doctor_find(doctor, DOCTOR_OK, "seed", "", "%s can be reached, and is a broker; of which mesh, only its key would tell", address);
    else if (finding->state == PROBE_REFUSED || finding->state == PROBE_NO_NAME)
        doctor_find(doctor, DOCTOR_ERROR, "seed", cure, "%s", finding->explanation.what);
    else
        doctor_find(doctor, DOCTOR_OK, "seed", "", "%s can be reached, holds this key, and %s", address,
                    finding->state == PROBE_MEMBER ? "is a broker of its mesh" : "belongs to no mesh yet");
    if (finding->state == PROBE_MEMBER || finding->state == PROBE_WAITING) check_skew(doctor, finding, address);
}

/* A key that nobody has: who answers with a refusal is a broker. */
static struct keyring *make_keyring(void)
{
    struct keyring *keyring = keyring_new();
    uint8_t bytes[CLUSTER_KEY_SIZE];
    struct cluster_key key;

    if (keyring == NULL) return NULL;
    random_system_bytes(bytes, sizeof(bytes));
    cluster_key_init(&key, bytes);
    if (keyring_install(keyring, &key) == 0) return keyring;
    keyring_free(keyring);
    return NULL;
}

static void check_seed(struct doctor *doctor, const struct keyring *keyring, const char *text)
{
    struct seed seed;
    const struct probe_options options = {.seed = &seed, .keyring = keyring, .key_path = doctor->key_path, .found = check_found, .user = doctor};

    if (seed_parse(text, &seed) != 0)
        doctor_find(doctor, DOCTOR_ERROR, "seed", "write HOST, HOST:PORT, [IPV6]:PORT or _service._tcp.NAME", "'%.200s' is none", text);
    else if (keyring == NULL || probe_run(&options) != 0)
        doctor_find(doctor, DOCTOR_WARNING, "seed", "free some", "%.200s was not looked at: no memory", text);
}

void doctor_network(struct doctor *doctor)
{
    const char *listen = doctor->settings->listen != NULL ? doctor->settings->listen : LISTEN_DEFAULT;
    struct keyring *made = doctor->keyring == NULL ? make_keyring() : NULL;

    check_port(doctor, listen);
    if (doctor->settings->gateway_listen != NULL) check_port(doctor, doctor->settings->gateway_listen);
    check_address(doctor, listen);
    for (size_t i = 0; i < doctor->arguments->operand_count; i++)
        check_seed(doctor, made != NULL ? made : doctor->keyring, doctor->arguments->operands[i]);
    keyring_free(made);
}

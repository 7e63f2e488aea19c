/* peers/explain.c - one case for each way to fail. */
#include "cmd/broker/peers/explain.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void say(char to[EXPLANATION_SIZE], const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(char to[EXPLANATION_SIZE], const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(to, EXPLANATION_SIZE, format, arguments);
    va_end(arguments);
}

static const char *stranger_text(enum channel_stranger stranger)
{
    switch (stranger) {
    case CHANNEL_STRANGER_HTTP: return "an HTTP server";
    case CHANNEL_STRANGER_TLS: return "a TLS server";
    case CHANNEL_STRANGER_SSH: return "an SSH server";
    case CHANNEL_STRANGER_NATIVE: return "a mesh that is too old to be joined";
    case CHANNEL_STRANGER_UNKNOWN: break;
    }
    return "something else";
}

static void explain_key(const struct explain_context *context, const char *address,
                        const struct channel_failure_detail *failure, struct explanation *to)
{
    char own[CLUSTER_KEY_ID_STRING_SIZE], theirs[CLUSTER_KEY_ID_STRING_SIZE];

    cluster_key_id_format(failure->own_key_id, own);
    if (failure->peer_key_id != 0)
        say(to->what, "%s has another cluster key: it uses %s, this broker has %s", address,
            cluster_key_id_format(failure->peer_key_id, theirs), own);
    else
        say(to->what, "%s has another cluster key than this broker (%s)", address, own);
    say(to->cure, "Take the key of that mesh ('mesh key show' on one of its machines prints it) and put it in %s, or name "
                  "its file with --key-file.",
        context->key_path != NULL ? context->key_path : "the key file");
}

static void explain_cluster(const struct explain_context *context, const char *address, struct explanation *to)
{
    char own[UUID_STRING_SIZE], theirs[UUID_STRING_SIZE] = "?";

    if (context->peer != NULL) uuid_format(&context->peer->cluster_id, theirs);
    say(to->what, "%s belongs to another mesh (%s) than this data directory (%s)", address, theirs,
        uuid_format(context->own_cluster, own));
    say(to->cure, "To join that mesh start with an empty directory (--data DIR); to stay in this one name one of its brokers.");
}

static void explain_failure(const struct explain_context *context, const char *address,
                            const struct channel_failure_detail *failure, struct explanation *to)
{
    to->is_permanent = true;
    switch (failure->failure) {
    case CHANNEL_FAILURE_WRONG_KEY: explain_key(context, address, failure, to); return;
    case CHANNEL_FAILURE_OTHER_CLUSTER: explain_cluster(context, address, to); return;
    case CHANNEL_FAILURE_NOT_MESH:
        say(to->what, "%s is not a mesh: %s answers there", address, stranger_text(failure->stranger));
        say(to->cure, "Name the HOST:PORT that 'mesh serve' printed on the machine to join.");
        return;
    case CHANNEL_FAILURE_VERSION:
        say(to->what, "%s speaks link versions %u to %u, this broker speaks %u", address, failure->peer_version_min,
            failure->peer_version_max, CHANNEL_VERSION);
        say(to->cure, "Bring both to releases that follow one another.");
        return;
    case CHANNEL_FAILURE_SELF:
        say(to->what, "%s is this broker itself", address);
        say(to->cure, "Name another broker of the mesh.");
        return;
    case CHANNEL_FAILURE_WRONG_PEER:
        to->is_permanent = false;
        say(to->what, "another broker than the expected one answers at %s", address);
        say(to->cure, "Its address was taken over; the broker is looked for elsewhere.");
        return;
    default:
        to->is_permanent = failure->failure == CHANNEL_FAILURE_MALFORMED || failure->failure == CHANNEL_FAILURE_FORGED;
        say(to->what, "%s: %s%s%s", address, channel_failure_text(failure->failure),
            failure->failure == CHANNEL_FAILURE_REFUSED ? ": " : "",
            failure->failure == CHANNEL_FAILURE_REFUSED ? channel_failure_text(failure->refusal) : "");
        say(to->cure, "Look into the log of the broker there.");
        return;
    }
}

static bool is_shut_in(const struct explain_context *context)
{
    return context->listen != NULL && net_address_is_loopback(context->listen) && !net_address_is_loopback(context->address);
}

static void explain_unreachable(const struct explain_context *context, const char *address, const char *reason,
                                struct explanation *to)
{
    if (is_shut_in(context)) { /* the kernel's own words would be "invalid argument" */
        to->is_permanent = true;
        say(to->what, "%s cannot be reached from the loopback address, which is all that this broker listens on", address);
        say(to->cure, "Listen where other machines can come, too: --listen 0.0.0.0:PORT, or an address of this machine.");
        return;
    }
    say(to->what, "%s cannot be reached: %s", address, reason);
    say(to->cure, "Check the address and the firewalls: the port must be open for TCP and UDP.");
}

void explain_link_end(const struct explain_context *context, enum link_end end, const char *reason,
                      const struct channel_failure_detail *failure, struct explanation *ret_explanation)
{
    char address[NET_ADDRESS_STRING_SIZE];

    net_address_format(context->address, address);
    *ret_explanation = (struct explanation){"", "", false};
    switch (end) {
    case LINK_END_REFUSED:
        say(ret_explanation->what, "nobody listens at %s", address);
        say(ret_explanation->cure, "Start a broker there, or name another seed.");
        return;
    case LINK_END_SILENT:
    case LINK_END_UNREACHABLE: explain_unreachable(context, address, reason, ret_explanation); return;
    case LINK_END_REJECTED: explain_failure(context, address, failure, ret_explanation); return;
    case LINK_END_LOCAL:
        say(ret_explanation->what, "this machine cannot dial %s: %s", address, reason);
        say(ret_explanation->cure, "Free memory or raise the limit of open files (ulimit -n).");
        return;
    case LINK_END_CLOSED:
    case LINK_END_RESET:
        say(ret_explanation->what, "%s ended the connection: %s", address, reason);
        say(ret_explanation->cure, "Look into the log of the broker there.");
        return;
    }
}

void explain_clock(const struct explain_context *context, int64_t difference_ms, struct explanation *ret_explanation)
{
    char address[NET_ADDRESS_STRING_SIZE];

    net_address_format(context->address, address);
    *ret_explanation = (struct explanation){"", "", llabs(difference_ms) > CLOCK_REFUSE_MS};
    say(ret_explanation->what, "the clock of %s is %lld.%lld s %s this machine's", address,
        (long long)(llabs(difference_ms) / 1000), (long long)(llabs(difference_ms) % 1000 / 100),
        difference_ms > 0 ? "ahead of" : "behind");
    say(ret_explanation->cure, "Set both machines' clocks by NTP (timedatectl set-ntp true).");
}

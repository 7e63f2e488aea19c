/* broker/front/sniff.c - magic, verbs, and the TLS record header. */
#include "cmd/broker/front/sniff.h"

#include "cmd/broker/peers/peer_streams.h"
#include "crypto/channel.h"

struct sniff_prefix {
    const char *bytes;
    enum sniff verdict;
};

static const struct sniff_prefix prefixes[] = {
    {"MESH", SNIFF_NATIVE}, {CHANNEL_MAGIC, SNIFF_PEER}, {STREAM_MAGIC, SNIFF_STREAM}, {"GET ", SNIFF_HTTP},     {"HEAD ", SNIFF_HTTP},   {"POST ", SNIFF_HTTP},
    {"PUT ", SNIFF_HTTP},   {"DELETE ", SNIFF_HTTP},  {"PATCH ", SNIFF_HTTP},  {"OPTIONS ", SNIFF_HTTP},
    {"TRACE ", SNIFF_HTTP}, {"CONNECT ", SNIFF_HTTP}, {"\x16\x03", SNIFF_TLS},
};

enum sniff sniff(struct slice bytes)
{
    enum sniff verdict = SNIFF_KAFKA;

    if (bytes.size == 0) return SNIFF_MORE;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        size_t length = strlen(prefixes[i].bytes);
        size_t common = bytes.size < length ? bytes.size : length;

        if (memcmp(bytes.data, prefixes[i].bytes, common) != 0) continue;
        if (common == length && (prefixes[i].verdict != SNIFF_STREAM || bytes.size >= STREAM_PREAMBLE_SIZE)) return prefixes[i].verdict;
        verdict = SNIFF_MORE;
    }
    return verdict;
}

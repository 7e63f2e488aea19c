/* broker/front/sniff.h - which door do the first bytes of a connection knock at? Pure. */
#ifndef BROKER_FRONT_SNIFF_H
#define BROKER_FRONT_SNIFF_H

#include "base/slice.h"

enum sniff {
    SNIFF_MORE, /* cannot be told yet; never after SNIFF_BYTES_MAX bytes */
    SNIFF_NATIVE,
    SNIFF_PEER,   /* a link of another broker */
    SNIFF_STREAM, /* a shard of another broker; its whole preamble is there */
    SNIFF_HTTP,
    SNIFF_TLS,
    SNIFF_KAFKA, /* or anything else */
};

#define SNIFF_BYTES_MAX 8

enum sniff sniff(struct slice bytes);

#endif

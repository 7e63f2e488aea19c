/* segment/plog_producers.h - the idempotent producers that a log remembers (producer_table.h), for who looks at it from outside. */
#ifndef SEGMENT_PLOG_PRODUCERS_H
#define SEGMENT_PLOG_PRODUCERS_H

#include "segment/producer_table.h"

struct plog;

size_t plog_producer_count(const struct plog *plog);
void plog_each_producer(const struct plog *plog, producer_each_fn *each, void *user);

#endif

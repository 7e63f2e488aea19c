/* broker/membership.h - the part of a broker's life that concerns others: its key and identity, the mesh that it enters, its metadata
 * and its place among the members. Control loop, or the thread that will run it. What fails has been logged. */
#ifndef BROKER_MEMBERSHIP_H
#define BROKER_MEMBERSHIP_H

#include "cmd/broker/broker_private.h"
#include "cmd/broker/metadata/metadata.h"

/* Key (made where a founder has none), address, identity; for a directory that belongs to no mesh and has seeds, waits until there is one to
 * belong to. listen_fd: bound. Errors: as broker_open(). */
int membership_enter(struct broker *broker, const struct broker_options *options, int listen_fd);

/* Fills in what `options` lacks and opens the metadata; a broker with nobody to join founds a mesh of one. Errors: metadata_open()'s, with a
 * sentence in message, not logged. */
int membership_open_metadata(struct broker *broker, struct metadata_options *options, char message[METADATA_MESSAGE_SIZE]);

/* Takes part in the metadata: from here on the image is what the log says, which may be more with each turn of the loop. Peers come later. */
int membership_start(struct broker *broker);

/* For a metadata log that was damaged: waits until it is whole, because until then nobody can say which logs of records belong to what. */
int membership_catch_up(struct broker *broker);

/* Meets the peers, and waits until the coordinator has let this broker in; one that was a member before waits a moment only. Returns early
 * during a stop. */
int membership_wait(struct broker *broker);

void membership_stop(struct broker *broker);  /* no links and packets any more. Harmless when there were none */
void membership_close(struct broker *broker); /* and the metadata closed */

#endif

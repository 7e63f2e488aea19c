/* broker/membership.h - the part of a broker's life that concerns others: its key and identity, the mesh that it enters, its metadata
 * and its place among the members. Control loop, or the thread that will run it. What fails has been logged. */
#ifndef BROKER_MEMBERSHIP_H
#define BROKER_MEMBERSHIP_H

#include "cmd/broker/broker_private.h"
#include "cmd/broker/metadata/metadata.h"

/* Reads the cluster key, before anything is written anywhere; whoever founds may have none yet. Errors, logged: those of key_file_find() and key_file_read(), MESH_ENOTFOUND
 * (joining needs one). */
int membership_find_key(struct broker *broker, const struct broker_options *options);

/* Where this broker listens and what it tells others of that, before anything is written. listen_fd: bound. Errors, logged: MESH_EINVAL, MESH_ERESOLVE. */
int membership_find_address(struct broker *broker, const struct broker_options *options, int listen_fd);

/* Key (made where a founder has none), identity; for a directory that belongs to no mesh and has seeds, waits until there is one to
 * belong to. listen_fd: bound. Errors: as broker_open(). */
int membership_enter(struct broker *broker, const struct broker_options *options, int listen_fd);

/* Fills in what `options` lacks and opens the metadata; a broker with nobody to join founds a mesh of one. Errors: metadata_open()'s, with a
 * sentence in message, not logged. */
int membership_open_metadata(struct broker *broker, struct metadata_options *options, char message[METADATA_MESSAGE_SIZE]);

/* Takes part in the metadata: from here on the image is what the log says, which may be more with each turn of the loop. Peers come later. */
int membership_start(struct broker *broker);

/* When the metadata log was damaged, or there are records here of topics that it does not know (has_strangers), nobody can say yet which logs
 * belong to what: waits until the coordinator knows of this start, for its registration lies behind every topic that was ever made.
 * listen_fd: bound; links are accepted there meanwhile. Errors, logged: why the metadata failed, MESH_EIO. */
int membership_catch_up(struct broker *broker, int listen_fd, bool has_strangers);

/* Meets the peers, and waits until the coordinator has let this broker in; one that was a member before waits a moment only. Returns early
 * during a stop. */
int membership_wait(struct broker *broker);

void membership_stop(struct broker *broker);  /* no links and packets any more. Harmless when there were none */
void membership_close(struct broker *broker); /* and the metadata closed */

#endif

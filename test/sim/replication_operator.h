/* sim/replication_operator.h - whoever runs the simulated mesh: deletes topics and makes them anew, moves replicas, and accepts a loss where no complete
 * replica is left; changes what topics ask for; deletes records; stops brokers in good order, and the coordinator in none. Asks whichever broker is up, and may be refused: that changes nothing. */
#ifndef SIM_REPLICATION_OPERATOR_H
#define SIM_REPLICATION_OPERATOR_H

#include "sim/replication_mesh.h"

/* A partition, drawn with this chance, becomes replicas on other brokers, sometimes more or fewer; or what moves goes back. */
void replication_operator_move(struct replication_mesh *mesh, struct random *random);

/* A topic goes, one of those from `first` on; the caller makes it anew, under its old name. Nothing happens while one is missing, or a disk is doubtful. */
void replication_operator_delete(struct replication_mesh *mesh, struct random *random, uint32_t first);

/* A topic of mode isr, drawn with this chance, wants more or fewer replicas in sync. */
void replication_operator_change(struct replication_mesh *mesh, struct random *random);

/* Records are to be deleted, as far as their leader knows them to be committed; some of them, or all. Late copies may come when another one leads. */
void replication_operator_trim(struct replication_mesh *mesh, struct random *random);

/* Leaders are chosen for partitions that have none and whose complete replicas are lost: of topics that do not sync what they acknowledge. `is_rash`: of
 * any partition without a leader, whoever may come back; the observer excuses what is lost then. */
void replication_operator_recover(struct replication_mesh *mesh, struct random *random, bool is_rash);

/* A broker is stopped in good order: it hands over what it leads, syncs, marks its disk and exits. Returns who, for replication_operator_start(); or
 * METADATA_NOBODY: the one that was drawn is not up. */
uint32_t replication_operator_stop(struct replication_mesh *mesh, struct random *random);

/* The coordinator dies: its process or its machine, at once or between two of its outputs. METADATA_NOBODY: there is none. */
uint32_t replication_operator_strike(struct replication_mesh *mesh, struct random *random);

/* It runs again, what is left of the life `boot` being killed: a stop takes long sometimes. */
void replication_operator_start(struct replication_mesh *mesh, uint32_t host, uint64_t boot);
uint64_t replication_operator_boot(struct replication_mesh *mesh, uint32_t host); /* the life that it has now; 0: none */

#endif

/* one_name.h - a name of many brokers, as a service of Kubernetes is one: a port whose connections lead to each of some brokers in turn.
 *
 * A thread carries the bytes. Connections are counted, and there may be ONE_NAME_CONNECTIONS_MAX at a time. */
#ifndef ONE_NAME_H
#define ONE_NAME_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#define ONE_NAME_BROKERS_MAX     8
#define ONE_NAME_CONNECTIONS_MAX 32

struct one_name {
    uint16_t ports[ONE_NAME_BROKERS_MAX]; /* set before start */
    uint32_t count;
    char address[32];          /* after start */
    atomic_uint connections;   /* so far; any thread */
    int listen_fd, wake_fd[2];
    pthread_t thread;
    struct {
        int fd[2]; /* of the client, of the broker; -1: free */
    } pairs[ONE_NAME_CONNECTIONS_MAX];
};

void one_name_start(struct one_name *name); /* asserts */
void one_name_stop(struct one_name *name);

#endif

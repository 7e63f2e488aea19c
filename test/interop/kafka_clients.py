#!/usr/bin/env python3
"""Consumer groups as a client library sees them: records shared by two members, a coordinator killed, a member that leaves, a group that comes back.

Which library: MESH_INTEROP_CLIENT (test/interop/run)."""
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from harness import main  # noqa: E402
from kafka_wire_groups import Client  # noqa: E402
from mesh_case import MeshCase  # noqa: E402

SESSION_MS = 6000


class KafkaPython:
    def __init__(self, servers):
        self.servers = servers

    def produce(self, topic, values):
        from kafka import KafkaProducer
        producer = KafkaProducer(bootstrap_servers=self.servers, acks="all")
        for number, value in enumerate(values):
            producer.send(topic, value, partition=number % 4)
        producer.flush(60)
        producer.close()

    def consumer(self, topic, group):
        from kafka import KafkaConsumer
        return KafkaConsumer(topic, bootstrap_servers=self.servers, group_id=group, auto_offset_reset="earliest", session_timeout_ms=SESSION_MS,
                             heartbeat_interval_ms=1000, enable_auto_commit=False)

    def poll(self, consumer):
        values = [record.value for records in consumer.poll(timeout_ms=200).values() for record in records]
        if values:
            from kafka.errors import CommitFailedError
            try:
                consumer.commit()
            except CommitFailedError:
                pass  # a rebalance came in between: what is not committed comes again
        return values


class Confluent:
    def __init__(self, servers):
        self.servers = servers

    def produce(self, topic, values):
        from confluent_kafka import Producer
        producer = Producer({"bootstrap.servers": self.servers, "enable.idempotence": True})
        for number, value in enumerate(values):
            producer.produce(topic, value, partition=number % 4)
        assert producer.flush(60) == 0

    def consumer(self, topic, group):
        from confluent_kafka import Consumer
        consumer = Consumer({"bootstrap.servers": self.servers, "group.id": group, "auto.offset.reset": "earliest", "session.timeout.ms": SESSION_MS,
                             "heartbeat.interval.ms": 1000, "enable.auto.commit": False, "partition.assignment.strategy": "cooperative-sticky"})
        consumer.subscribe([topic])
        return consumer

    def poll(self, consumer):
        from confluent_kafka import KafkaException
        values = [message.value() for message in consumer.consume(100, 0.2) if message.error() is None]
        if values:
            try:
                consumer.commit(asynchronous=False)
            except KafkaException:
                pass  # a rebalance came in between: what is not committed comes again
        return values


class Member(threading.Thread):
    """A consumer in a thread of its own, until it is to leave."""

    def __init__(self, library, topic, group):
        super().__init__(daemon=True)
        self.library, self.topic, self.group = library, topic, group
        self.values, self.is_leaving, self.error = [], threading.Event(), None
        self.start()

    def run(self):
        try:
            consumer = self.library.consumer(self.topic, self.group)
            while not self.is_leaving.is_set():
                self.values += self.library.poll(consumer)
            consumer.close()
        except Exception as error:  # told to the test, which joins this thread
            self.error = error

    def leave(self):
        self.is_leaving.set()
        self.join(60)


class KafkaClients(MeshCase):
    def test_a_group_shares_survives_and_comes_back(self):
        brokers = self.launch_together(3)
        self.wait_coordinator(brokers)
        self.mesh("topic", "create", "t", "--partitions", "4", "--replicas", "3")
        library = {"kafka-python": KafkaPython, "confluent": Confluent}[os.environ["MESH_INTEROP_CLIENT"]](",".join(broker.address for broker in brokers))
        lines = [b"%d" % number for number in range(3000)]
        library.produce("t", lines[:1000])
        members = [Member(library, "t", "g") for _ in range(2)]

        def have(some, who=members):
            self.assertEqual([member.error for member in who], [None] * len(who))
            return set(some) <= {value for member in who for value in member.values}
        self.until("all is consumed", lambda: have(lines[:1000]))
        self.until("both are members", lambda: self.count_members(brokers[0]) == 2)
        library.produce("t", lines[1000:1500])
        self.until("both consume", lambda: have(lines[:1500]) and all(any(value in lines[1000:1500] for value in member.values) for member in members))
        wire = Client(self.connect(brokers[0]))
        node = wire.find_coordinator("g")[0]
        killed = next(broker for broker in brokers if broker.address == "%s:%d" % node[3:])
        wire.connection.close()
        killed.kill()
        self.broker = next(broker for broker in brokers if broker is not killed)
        library.produce("t", lines[1500:2000])
        self.until("nothing is lost with the coordinator", lambda: have(lines[:2000]))
        members[0].leave()
        library.produce("t", lines[2000:2500])
        self.until("the other one takes over", lambda: have(lines[2000:2500], members[1:]))
        members[1].leave()
        self.assertEqual([member.error for member in members], [None, None])
        library.produce("t", lines[2500:])
        late = [Member(library, "t", "g")]
        self.until("it goes on where they stopped", lambda: have(lines[2500:], late))
        late[0].leave()
        self.assertEqual(sorted(late[0].values), sorted(lines[2500:]))

    def count_members(self, broker):
        client = Client(self.connect(broker))
        try:
            error, state, _, _, members = client.describe_groups("g")["g"]
            return len(members) if (error, state) == (0, "Stable") else 0
        finally:
            client.connection.close()


if __name__ == "__main__":
    main()

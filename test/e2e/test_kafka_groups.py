#!/usr/bin/env python3
"""Groups through the Kafka door: offsets, members and rebalances as clients of Kafka's classic protocol know them; at any broker."""
import struct

import kafka_wire as wire
from harness import main
from kafka_wire_groups import Client
from mesh_case import MeshCase

UNKNOWN_TOPIC, OFFSET_METADATA_TOO_LARGE, INVALID_GROUP, UNKNOWN_MEMBER, ILLEGAL_GENERATION = 3, 12, 24, 25, 22
UNSUPPORTED, INVALID_REQUEST, UNKNOWN_TOPIC_ID = 35, 42, 100


class KafkaGroups(MeshCase):
    def client(self, broker=None):
        connection = self.connect(broker)
        self.addCleanup(connection.close)
        return Client(connection)

    def topic_id(self, client, name):
        answer = client.call(wire.METADATA, 12, 9, lambda f: f.array([b"\0" * 16 + f.string(name) + f.end]) + b"\0\0")
        answer.array(lambda: (answer.take("i"), answer.string(), answer.take("i"), answer.string()))
        answer.string()
        answer.take("i")
        answer.size("i")
        answer.take("h")
        answer.string()
        return answer.reader.bytes(16)

    def coordinator(self, client, group):
        """The node, once there is one."""
        found = []

        def look():
            found[:] = client.find_coordinator(group)
            return found[0][1] == 0
        self.until("the group has a coordinator", look)
        return found[0][2]

    # ---- coordinators and offsets ----

    def test_every_version_finds_the_same_coordinator(self):
        brokers = self.launch_together(3)
        self.wait_coordinator(brokers)
        clients = [self.client(broker) for broker in brokers]
        names = [f"group-{n}" for n in range(20)]
        self.until("all brokers agree", lambda: len({tuple(c.find_coordinator(*names, version=6)) for c in clients}) == 1 and
                   all(row[1] == 0 for row in clients[0].find_coordinator(*names, version=4)), *brokers)
        rows = clients[0].find_coordinator(*names, version=4)
        nodes = clients[0].metadata()[1]
        self.assertGreater(len({row[2] for row in rows}), 1)  # they are spread
        for key, _, node, host, port in rows:
            self.assertEqual((host, port), nodes[node])
            for version in range(4):
                self.assertEqual(clients[1].find_coordinator(key, version=version), [(key, 0, node, host, port)])
        for version in (3, 6):
            self.assertEqual(clients[0].find_coordinator("tx", version=version, key_type=1)[0][1:3], (UNSUPPORTED, -1))
            self.assertEqual(clients[0].find_coordinator("share", version=version, key_type=2)[0][1:3], (INVALID_REQUEST, -1))
            self.assertEqual(clients[0].find_coordinator("", version=version)[0][1:3], (INVALID_GROUP, -1))

    def test_offsets_are_kept_in_every_version(self):
        self.start_broker()
        self.mesh("topic", "create", "t", "--partitions", "3")
        self.mesh("topic", "create", "u")
        self.mesh("produce", "t", stdin=b"x\n" * 300)
        client = self.client()
        self.assertEqual(client.committed("g", {"t": [0]}), (0, {"t": {0: (-1, -1, "", 0)}}))  # nobody has made the topic of groups yet
        self.assertEqual(client.committed("g", None), (0, {}))
        self.coordinator(client, "g")
        ident = self.topic_id(client, "t")
        for version in range(2, 11):
            with self.subTest(version=version):
                name = ident if version >= 10 else "t"
                offset = (version, 0 if version >= 6 else -1, f"by {version}")
                self.assertEqual(client.commit("g", {name: {0: offset, 1: 5}}, version), {name: {0: 0, 1: 0}})
                self.assertEqual(client.committed("g", {"t": [2, 0]}), (0, {"t": {2: (-1, -1, "", 0), 0: (*offset, 0)}}))
        for version in range(1, 11):
            with self.subTest(version=version):
                name = ident if version >= 10 else "t"
                epochs = (-1, 0) if version >= 5 else (None, None)
                told = {0: (10, epochs[1], "by 10", 0), 1: (5, epochs[0], "", 0)}
                self.assertEqual(client.committed("g", {name: [0, 1, 2]}, version), (0, {name: {**told, 2: (-1, epochs[0], "", 0)}}))
                if version >= 2:
                    self.assertEqual(client.committed("g", None, version), (0, {name: told}))
                self.assertEqual(client.committed("g", {}, version), (0, {}))
        self.assertEqual(client.commit("h", {"u": {0: 0}}), {"u": {0: 0}})
        both = client.committed_of({"g": {"t": [0]}, "h": None, "never": None})
        self.assertEqual(both, {"g": (0, {"t": {0: (10, 0, "by 10", 0)}}), "h": (0, {"u": {0: (0, -1, "", 0)}}), "never": (0, {})})
        self.assertRegex(self.mesh("group", "describe", "g").out.decode(), r"(?m)^t +0 +10 ")  # one group, two doors
        self.mesh("topic", "delete", "t")
        self.until("its offsets are not told", lambda: client.committed("g", None) == (0, {}))

    def test_what_cannot_be_committed_is_told_by_partition(self):
        self.start_broker()
        self.mesh("topic", "create", "t", "--partitions", "2")
        client = self.client()
        self.coordinator(client, "g")
        cells = {"t": {0: 0, 1: (0, -1, "m" * 4097), 2: 0, -1: 0}, "u": {0: 0}}
        self.assertEqual(client.commit("g", cells), {"t": {0: 0, 1: OFFSET_METADATA_TOO_LARGE, 2: UNKNOWN_TOPIC, -1: UNKNOWN_TOPIC},
                                                     "u": {0: UNKNOWN_TOPIC}})
        self.assertEqual(client.committed("g", {"t": [0, 1, 2], "u": [0]}),
                         (0, {"t": {n: (0 if n == 0 else -1, -1, "", 0) for n in range(3)}, "u": {0: (-1, -1, "", 0)}}))
        self.assertEqual(client.commit("g", {b"n" * 16: {0: 0}}, 10), {b"n" * 16: {0: UNKNOWN_TOPIC_ID}})
        self.assertEqual(client.committed("g", {b"n" * 16: [0]}, 10), (0, {b"n" * 16: {0: (-1, -1, "", UNKNOWN_TOPIC_ID)}}))
        self.assertEqual(client.commit("g", {"t": {0: 1}}, member="who"), {"t": {0: UNKNOWN_MEMBER}})
        self.assertEqual(client.commit("g", {"t": {0: 1}}, generation=3), {"t": {0: ILLEGAL_GENERATION}})
        self.assertEqual(client.commit("", {"t": {0: 1}}), {"t": {0: INVALID_GROUP}})
        self.assertEqual(client.committed("g\n", None)[0], INVALID_GROUP)
        self.assertEqual(client.commit("g", {}), {})
        client.send(8, 7, struct.pack(">h", 300))  # half a request
        self.assertTrue(client.is_closed())

    def test_any_broker_takes_offsets_and_a_kill_loses_none(self):
        brokers = self.launch_together(3)
        self.wait_coordinator(brokers)
        self.mesh("topic", "create", "t", "--partitions", "1")
        self.mesh("produce", "t", stdin=b"x\n" * 10)
        node = self.coordinator(self.client(brokers[0]), "g")
        for number, broker in enumerate(brokers):
            client = self.client(broker)
            self.until("it is taken", lambda c=client, n=number: c.commit("g", {"t": {0: n + 1}}) == {"t": {0: 0}}, *brokers)
            for other in brokers:
                self.assertEqual(self.client(other).committed("g", {"t": [0]})[1]["t"][0][0], number + 1)
        nodes = self.client(brokers[0]).metadata()[1]
        killed = next(broker for broker in brokers if broker.address == "%s:%d" % nodes[node])
        killed.kill()
        rest = [self.client(broker) for broker in brokers if broker is not killed]
        self.until("another broker coordinates", lambda: all(c.find_coordinator("g")[0][1:3] not in ((0, node), (15, -1)) for c in rest), *brokers)
        for client in rest:
            self.until("the offset is there", lambda c=client: c.committed("g", {"t": [0]}) == (0, {"t": {0: (3, -1, "", 0)}}))


if __name__ == "__main__":
    main()

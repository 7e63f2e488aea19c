#!/usr/bin/env python3
"""What administrators ask at the Kafka door: settings of topics, and more partitions."""
import struct
import uuid

import kafka_wire as wire
from harness import Case, main
from mesh_case import MeshCase

DESCRIBE, ALTER, INCREMENTAL, PARTITIONS, ELECT, REASSIGN, LOG_DIRS, PRODUCERS = 32, 33, 44, 37, 43, 45, 35, 61
NOT_LEADER, TIMED_OUT = 6, 7
UNKNOWN_TOPIC, INVALID_PARTITIONS, INVALID_REPLICATION, INVALID_CONFIG, INVALID_REQUEST = 3, 37, 38, 40, 42
INVALID_ASSIGNMENT, ELECTION_NOT_NEEDED, NO_REASSIGNMENT, UNKNOWN_TOPIC_ID = 39, 84, 85, 100
TOPIC, BROKER = 2, 4
SET, DELETE, APPEND = 0, 1, 2


class KafkaAdmin(Case):
    def setUp(self):
        super().setUp()
        self.start_broker(options=["--shards", "2"])
        self.mesh("topic", "create", "orders", "--partitions", "2", "--set", "retention.ms=3600000", "--set", "segment.bytes=1048576", "--set", "flush=async")
        connection = self.connect()
        self.addCleanup(connection.close)
        self.client = wire.Client(connection)

    def describe(self, resources, version=3):
        """[(error, type, name, {setting: (value, source)})]; resources: (type, name, keys or None)"""
        body = wire.array([struct.pack(">b", kind) + wire.string(name) + (struct.pack(">i", -1) if keys is None else wire.array([wire.string(key) for key in keys]))
                           for kind, name, keys in resources]) + b"\0" + (b"\1" if version >= 3 else b"")
        answer = self.client.ask(DESCRIBE, version, body)
        self.assertEqual(answer.take("i"), 0)

        def text():
            size = answer.take("h")
            return None if size < 0 else answer.bytes(size).decode()

        def config(of_broker):
            name, value = text(), text()
            self.assertEqual(answer.take("?"), of_broker)  # read only
            source = answer.take("b")
            self.assertEqual((answer.take("?"), answer.take("i")), (False, 0))
            if version >= 3:
                self.assertIn(answer.take("b"), (2, 5))
                self.assertTrue(text())
            return name, (value, source)

        def result():
            error, message, kind, name = answer.take("h"), text(), answer.take("b"), text()
            return error, message, kind, name, dict(answer.array(lambda: config(kind == BROKER)))

        return answer.array(result)

    def of_topic(self, name="orders", keys=None):
        (error, _, _, _, configs), = self.describe([(TOPIC, name, keys)])
        self.assertEqual(error, 0)
        return configs

    def change(self, key, version, resources, validate_only=False):
        """[(error, type, name)]; resources: (type, name, [(setting, value)]) or, incremental, (setting, operation, value)"""
        body = wire.array([struct.pack(">b", kind) + wire.string(name) + wire.array(
            [wire.string(change[0]) + b"".join(struct.pack(">b", operation) for operation in change[1:-1]) + wire.string(change[-1]) for change in changes])
            for kind, name, changes in resources]) + struct.pack(">?", validate_only)
        answer = self.client.ask(key, version, body)
        answer.take("i")

        def result():
            error = answer.take("h")
            size = answer.take("h")
            message = answer.bytes(size) if size >= 0 else b""
            self.assertEqual(bool(message), error != 0)
            return error, answer.take("b"), answer.string()

        return answer.array(result)

    def alter(self, changes, name="orders", **keywords):
        (error, kind, named), = self.change(ALTER, 1, [(TOPIC, name, changes)], **keywords)
        self.assertEqual((kind, named), (TOPIC, name))
        return error

    def increment(self, changes, name="orders", **keywords):
        (error, kind, named), = self.change(INCREMENTAL, 0, [(TOPIC, name, changes)], **keywords)
        self.assertEqual((kind, named), (TOPIC, name))
        return error

    def test_settings_have_kafkas_names_and_say_where_they_come_from(self):
        configs = self.of_topic()
        self.assertEqual(len(configs), 16)
        self.assertEqual((configs["retention.ms"], configs["segment.bytes"], configs["flush"]), (("3600000", 1), ("1048576", 1), ("async", 1)))
        self.assertEqual((configs["cleanup.policy"], configs["max.message.bytes"]), (("delete", 5), ("1048576", 5)))
        self.assertLess({"min.insync.replicas", "compression.type", "message.timestamp.type"}, set(configs))
        self.assertEqual(set(self.of_topic(keys=["cleanup.policy", "min.insync", "what", "\0"])), {"cleanup.policy", "min.insync.replicas"})
        self.assertEqual(self.of_topic(keys=[]), {})
        answers = self.describe([(TOPIC, "gone", None), (BROKER, "", None), (7, "x", None), (TOPIC, "__mesh_groups", None), (TOPIC, "orders", ["flush"])], version=1)
        self.assertEqual([(error, kind, name, len(configs)) for error, _, kind, name, configs in answers],
                         [(UNKNOWN_TOPIC, TOPIC, "gone", 0), (0, BROKER, "", 0), (INVALID_REQUEST, 7, "x", 0), (UNKNOWN_TOPIC, TOPIC, "__mesh_groups", 0), (0, TOPIC, "orders", 1)])

    def test_a_broker_tells_its_own_settings(self):
        self.start_broker(self.path("own"), options=["--set", "fetch.bytes.max=2m", "--set", "topic.retention.ms=60000"])
        connection = self.connect()
        self.addCleanup(connection.close)
        self.client = wire.Client(connection)
        own, = self.client.metadata()[1]
        (error, _, _, name, configs), = self.describe([(BROKER, str(own), None)])
        self.assertEqual((error, name), (0, str(own)))
        self.assertEqual((configs["fetch.bytes.max"], configs["topic.retention.ms"]), (("2097152", 4), ("60000", 4)))  # said at the start
        self.assertEqual((configs["auth.required"], configs["tls.key"]), (("0", 5), ("", 5)))
        (_, _, _, _, configs), = self.describe([(BROKER, str(own), ["fetch.bytes.max", "topic.retention.ms", "what", ""])], version=1)
        self.assertEqual(set(configs), {"fetch.bytes.max", "topic.retention.ms"})
        answers = self.describe([(BROKER, str(own + 1), None), (BROKER, f"0{own}", None), (BROKER, "x\0", None)])
        self.assertEqual([(error, configs) for error, _, _, _, configs in answers], [(INVALID_REQUEST, {})] * 3)

    def test_what_is_asked_again_is_told_once(self):
        answers = self.describe([(TOPIC, "orders", ["flush"])] + [(TOPIC, "orders", None)] * 9998 + [(TOPIC, "gone", None)])
        first, *again, last = [(error, len(configs)) for error, _, _, _, configs in answers]
        self.assertEqual((first, len(again), set(again), last), ((0, 1), 9998, {(INVALID_REQUEST, 0)}, (UNKNOWN_TOPIC, 0)))

    def test_alter_says_all_that_is_set(self):
        self.assertEqual(self.alter([("retention.ms", "7200000"), ("max.message.bytes", "65536")]), 0)
        configs = self.of_topic()
        self.assertEqual((configs["retention.ms"], configs["max.message.bytes"]), (("7200000", 1), ("65536", 1)))
        self.assertEqual(configs["segment.bytes"][1], 5)       # not said: the default again
        self.assertEqual(configs["flush"], ("async", 1))       # Kafka has no such setting: it stays
        self.assertEqual(self.mesh("topic", "describe", "orders", "--json").json["configs"]["retention.ms"], "7200000")
        self.assertEqual(self.alter([("retention.ms", None)]), 0)
        self.assertEqual(self.of_topic()["retention.ms"][1], 5)
        self.assertEqual(self.alter([]), 0)

    def test_incremental_changes_what_it_says(self):
        self.assertEqual(self.increment([("retention.ms", DELETE, None), ("min.insync.replicas", SET, "1"), ("flush", DELETE, None)]), 0)
        configs = self.of_topic()
        self.assertEqual((configs["retention.ms"][1], configs["min.insync.replicas"], configs["segment.bytes"], configs["flush"]), (5, ("1", 1), ("1048576", 1), ("group", 5)))
        self.assertEqual(self.increment([("cleanup.policy", APPEND, "compact")]), INVALID_CONFIG)
        for validate_only in (False, True):
            self.assertEqual(self.increment([("segment.bytes", SET, None)], validate_only=validate_only), INVALID_REQUEST)
        self.assertEqual(self.of_topic()["segment.bytes"], ("1048576", 1))

    def test_what_is_wrong_changes_nothing(self):
        before = self.of_topic()
        for changes in ([("retention.ms", "soon")], [("retention.ms", "-5")], [("what", "1")], [("segment.bytes", "2097152"), ("cleanup.policy", "compact")], [("flush", "gro\0up")], [("\0", "1")]):
            for validate_only in (False, True):
                with self.subTest(changes, validate_only=validate_only):
                    self.assertEqual(self.alter(changes, validate_only=validate_only), INVALID_CONFIG)
                    self.assertEqual(self.increment([(name, SET, value) for name, value in changes], validate_only=validate_only), INVALID_CONFIG)
        for validate_only in (False, True):
            self.assertEqual(self.alter([("retention.ms", "1")], name="gone", validate_only=validate_only), UNKNOWN_TOPIC)
            self.assertEqual(self.alter([("retention.ms", "1")], name="orders\0", validate_only=validate_only), UNKNOWN_TOPIC)
            self.assertEqual(self.increment([("retention.ms", SET, "1")], name="__mesh_groups", validate_only=validate_only), UNKNOWN_TOPIC)
        self.assertEqual(self.alter([("retention.ms", "1234567")], validate_only=True), 0)
        self.assertEqual(self.increment([("retention.ms", SET, "1234567")], validate_only=True), 0)
        self.assertEqual(self.change(ALTER, 0, [(BROKER, "1", [("connections.max", "5")]), (9, "", [])]), [(INVALID_REQUEST, BROKER, "1"), (INVALID_REQUEST, 9, "")])
        self.assertEqual(self.of_topic(), before)

    def test_many_resources_are_answered_each(self):
        self.mesh("topic", "create", "other")
        answers = self.change(INCREMENTAL, 0, [(TOPIC, "orders", [("retention.ms", SET, "5000")]), (TOPIC, "gone", []), (TOPIC, "other", [("retention.ms", SET, "6000")])])
        self.assertEqual(answers, [(0, TOPIC, "orders"), (UNKNOWN_TOPIC, TOPIC, "gone"), (0, TOPIC, "other")])
        self.assertEqual((self.of_topic()["retention.ms"], self.of_topic("other")["retention.ms"]), (("5000", 1), ("6000", 1)))
        self.client.send(INCREMENTAL, 0, struct.pack(">i", 2_000_000_000))
        self.assertTrue(self.client.is_closed())

    def test_a_setting_is_named_once(self):
        before = self.of_topic()
        for validate_only in (False, True):
            twice = (self.alter([("retention.ms", "5000"), ("retention.ms", "6000")], validate_only=validate_only),
                     self.increment([("retention.ms", SET, "5000"), ("retention.ms", DELETE, None)], validate_only=validate_only),
                     self.increment([("min.insync", SET, "1"), ("min.insync.replicas", SET, "1")], validate_only=validate_only))
            self.assertEqual(twice, (INVALID_REQUEST,) * 3)
        self.assertEqual(self.of_topic(), before)

    def test_keys_without_end_are_each_looked_at_once(self):
        """What is asked about is not guessed at: that took minutes, in which the shard did nothing else."""
        keys = ["%020d" % number for number in range(400_000)]
        self.assertEqual(set(self.of_topic(keys=keys + ["flush"])), {"flush"})

    def test_a_topic_is_deleted_by_its_id(self):
        old = uuid.UUID(self.mesh("topic", "describe", "orders", "--json").json["id"]).bytes

        def delete(name, topic_id):
            """(name, id, error) of version 6"""
            named = b"\0" if name is None else bytes([len(name) + 1]) + name.encode()
            self.client.send(wire.DELETE_TOPICS, 6, b"\0\2" + named + topic_id + b"\0" + struct.pack(">i", 30000) + b"\0")
            _, answer = self.client.receive()
            self.assertEqual((answer.take("b"), answer.take("i"), answer.take("b")), (0, 0, 2))
            size = answer.take("B") - 1
            return None if size < 0 else answer.bytes(size).decode(), answer.bytes(16), answer.take("h")

        self.assertEqual(delete(None, old), ("orders", old, 0))
        self.mesh("topic", "create", "orders")
        self.assertEqual(delete(None, old), (None, old, UNKNOWN_TOPIC_ID))
        self.assertEqual(delete(None, bytes(16)), (None, bytes(16), UNKNOWN_TOPIC_ID))
        new = uuid.UUID(self.mesh("topic", "describe", "orders", "--json").json["id"]).bytes
        self.assertEqual(delete("orders", bytes(16)), ("orders", new, 0))

    # ---- partitions ----

    def grow(self, topics, version=1, validate_only=False):
        body = wire.array([wire.string(name) + struct.pack(">i", count) + (struct.pack(">i", -1) if places is None else wire.array([wire.array([struct.pack(">i", 1)])] * places))
                           for name, count, places in topics]) + struct.pack(">i?", 30000, validate_only)
        answer = self.client.ask(PARTITIONS, version, body)
        answer.take("i")

        def result():
            name, error = answer.string(), answer.take("h")
            size = answer.take("h")
            self.assertEqual(bool(answer.bytes(size) if size >= 0 else b""), error != 0)
            return name, error

        return answer.array(result)

    def count(self, name="orders"):
        return len(self.client.metadata([name])[0][name][1])

    def test_partitions_grow_and_take_records(self):
        self.assertEqual(self.grow([("orders", 5, None)], validate_only=True), [("orders", 0)])
        self.assertEqual(self.count(), 2)
        self.assertEqual(self.grow([("orders", 5, None)], version=0), [("orders", 0)])
        self.assertEqual(self.count(), 5)
        self.assertEqual(self.client.produce("orders", 4, wire.batch([b"new"])), (0, 0))
        for count in (5, 4, 0, -1, 2_000_000_000):
            for validate_only in (False, True):
                self.assertEqual(self.grow([("orders", count, None)], validate_only=validate_only), [("orders", INVALID_PARTITIONS)])
        self.assertEqual(self.grow([("gone", 5, None), ("orders\0", 9, None), ("orders", 6, 1), ("__mesh_groups", 100, None)]),
                         [("gone", UNKNOWN_TOPIC), ("orders\0", UNKNOWN_TOPIC), ("orders", INVALID_REPLICATION), ("__mesh_groups", UNKNOWN_TOPIC)])
        self.assertEqual(self.count(), 5)


class KafkaMoves(MeshCase):
    def compact(self, text):
        return bytes([len(text) + 1]) + text.encode()

    def reassignments(self, client, topics=None):
        """{topic: {partition: (replicas, adding, removing)}}; topics: [(name, partitions)]. The request is flexible, header and all."""
        asked = b"\0" if topics is None else bytes([len(topics) + 1]) + b"".join(
            self.compact(name) + bytes([len(partitions) + 1]) + struct.pack(f">{len(partitions)}i", *partitions) + b"\0" for name, partitions in topics)
        client.send(46, 0, b"\0" + struct.pack(">i", 30000) + asked + b"\0")
        _, answer = client.receive()
        self.assertEqual(answer.take("b"), 0)  # tags of the header
        self.assertEqual((answer.take("i"), answer.take("h"), answer.take("b")), (0, 0, 0))

        def numbers():
            return [answer.take("i") for _ in range(answer.take("b") - 1)]

        def partition():
            told = answer.take("i"), (numbers(), numbers(), numbers())
            self.assertEqual(answer.take("b"), 0)
            return told

        found = {}
        for _ in range(answer.take("b") - 1):
            name = answer.bytes(answer.take("b") - 1).decode()
            found[name] = dict(partition() for _ in range(answer.take("b") - 1))
            self.assertEqual(answer.take("b"), 0)
        return found

    def test_moves_under_way_are_listed(self):
        brokers = self.launch_together(2, options=["--set", "moves.per.broker=0"])  # they wait for ever
        self.mesh("topic", "create", "orders", "--partitions", "2", "--replicas", "1")
        self.mesh("topic", "create", "still", "--replicas", "1")
        connection = self.connect(brokers[0])
        self.addCleanup(connection.close)
        client = wire.Client(connection)
        self.assertEqual(self.reassignments(client), {})
        described = {p["partition"]: p["replicas"] for p in self.mesh("topic", "describe", "orders", "--json").json["partitions"]}
        nodes = {broker["node_id"]: broker["name"] for broker in self.mesh("status", "--json").json["brokers"]}
        here, = described[1]
        there, = set(nodes) - {here}
        self.mesh("topic", "move", "orders/1", "--to", nodes[there], "--no-wait", broker=brokers[0])
        want = {"orders": {1: (sorted([here, there]), [there], [here])}}
        for topics in (None, [("orders", [0, 1]), ("still", [0]), ("gone", [0])], [("orders", [1, 7, -1])]):
            got = self.reassignments(client, topics)
            for told in got.get("orders", {}).values():
                told[0].sort()
            self.assertEqual(got, want, topics)
        self.assertEqual(self.reassignments(client, [("orders", [0])]), {})
        self.assertEqual(self.reassignments(client, []), {})

    def ask_flexible(self, client, key, version, body):
        client.send(key, version, b"\0" + body)
        _, answer = client.receive()
        self.assertEqual(answer.take("b"), 0)  # tags of the header
        return answer

    def compact_text(self, answer):
        size = answer.take("B") - 1
        return None if size < 0 else answer.bytes(size).decode()

    def move(self, client, partitions, topic="orders", version=1, may_change=True, timeout_ms=30000):
        """[(partition, error)]; partitions: {partition: nodes, or None to take a move back}"""
        asked = bytes([len(partitions) + 1]) + b"".join(
            struct.pack(">i", partition) + (b"\0" if nodes is None else bytes([len(nodes) + 1]) + struct.pack(f">{len(nodes)}i", *nodes)) + b"\0"
            for partition, nodes in partitions.items())
        answer = self.ask_flexible(client, REASSIGN, version, struct.pack(">i", timeout_ms) + (bytes([may_change]) if version >= 1 else b"")
                                   + b"\2" + self.compact(topic) + asked + b"\0" + b"\0")
        self.assertEqual(answer.take("i"), 0)
        if version >= 1:
            self.assertEqual(answer.take("?"), may_change)
        self.assertEqual((answer.take("h"), self.compact_text(answer), answer.take("b"), self.compact_text(answer)), (0, None, 2, topic))
        results = []
        for _ in range(answer.take("b") - 1):
            partition, error = answer.take("ih")
            self.assertEqual(bool(self.compact_text(answer)), error != 0)
            self.assertEqual(answer.take("b"), 0)
            results.append((partition, error))
        return results

    def elect(self, client, topics, kind=0, version=1, timeout_ms=30000):
        """{topic: {partition: error}} of versions 0 and 1; topics: {topic: partitions}, or None for all"""
        asked = struct.pack(">i", -1) if topics is None else wire.array(
            [wire.string(name) + wire.array([struct.pack(">i", number) for number in numbers]) for name, numbers in topics.items()])
        answer = client.ask(ELECT, version, (struct.pack(">b", kind) if version >= 1 else b"") + asked + struct.pack(">i", timeout_ms))
        self.assertEqual(answer.take("i"), 0)
        self.assertEqual(answer.take("h") if version >= 1 else 0, 0 if kind in (0, 1) else INVALID_REQUEST)

        def partition():
            number, error, size = answer.take("ihh")
            self.assertEqual(bool(answer.bytes(size)) if size >= 0 else False, error != 0)
            return number, error

        return dict((answer.string(), dict(answer.array(partition))) for _ in range(answer.take("i")))

    def test_a_topic_is_made_where_it_is_asked_for(self):
        brokers = self.launch_together(3)
        nodes = [broker["node_id"] for broker in self.mesh("status", "--json").json["brokers"]]
        connection = self.connect(brokers[0])
        self.addCleanup(connection.close)
        client = wire.Client(connection)

        def create(name, places, partitions=-1, factor=-1, validate=False):
            """The error. places: [(partition, [node])]"""
            body = wire.array([wire.string(name) + struct.pack(">ih", partitions, factor) + wire.array(
                [struct.pack(">i", number) + wire.array([struct.pack(">i", node) for node in at]) for number, at in places]) + wire.array([])])
            answer = client.ask(wire.CREATE_TOPICS, 4, body + struct.pack(">i?", 60000, validate))
            self.assertEqual(answer.take("ii"), (0, 1))
            self.assertEqual(answer.string(), name)
            error, text = answer.take("h"), answer.string()
            self.assertEqual(error == 0, text == "")
            return error

        a, b, c = nodes
        wrong = ([(0, [a, a])], [(0, [a, max(nodes) + 1])], [(0, [a, -1])], [(0, [])], [(0, [a]), (0, [b])], [(0, [a]), (2, [b])], [(1, [a])], [(-1, [a])],
                 [(0, [a, b]), (1, [c])], [(0, [a] * 17)])
        for places in wrong:
            with self.subTest(places=places):
                self.assertEqual(create("placed", places), INVALID_ASSIGNMENT)
        self.assertEqual(create("placed", [(0, [a])], partitions=1), INVALID_ASSIGNMENT)
        self.assertEqual(create("placed", [(0, [a])], factor=1), INVALID_ASSIGNMENT)
        want = {0: [c, a], 1: [b, c], 2: [b, a]}
        self.assertEqual(create("placed", list(want.items()), validate=True), 0)
        self.assertEqual(self.mesh("topic", "list", "--json").json["topics"], [])
        self.assertEqual(create("placed", list(reversed(want.items()))), 0)
        described = self.mesh("topic", "describe", "placed", "--json").json["partitions"]
        self.assertEqual({p["partition"]: p["replicas"] for p in described}, want)
        self.assertEqual({p["partition"]: p["leader"] for p in described}, {number: at[0] for number, at in want.items()})
        self.assertEqual(client.metadata(["placed"])[0]["placed"], (0, {number: at[0] for number, at in want.items()}))

    def test_replicas_are_moved_and_led_where_it_is_asked_for(self):
        brokers = self.launch_together(2)
        self.mesh("topic", "create", "orders", "--partitions", "2", "--replicas", "2")
        self.mesh("topic", "create", "still", "--replicas", "2")
        connection = self.connect(brokers[0])
        self.addCleanup(connection.close)
        client = wire.Client(connection)

        def place(number=1):
            partition = self.mesh("topic", "describe", "orders", "--json").json["partitions"][number]
            return partition["leader"], partition["replicas"]

        def have_isr():
            return all(len(p["isr"]) == 2 for p in self.mesh("topic", "describe", "orders", "--json").json["partitions"])

        self.until("both are in sync", have_isr, *brokers)
        leader, (first, second) = place()
        self.assertEqual(self.elect(client, {"orders": [1, 7, -1], "gone": [0]}, version=0),
                         {"orders": {1: ELECTION_NOT_NEEDED, 7: UNKNOWN_TOPIC, -1: UNKNOWN_TOPIC}, "gone": {0: UNKNOWN_TOPIC}})
        self.assertEqual(leader, first)
        self.assertEqual(self.move(client, {1: [second, first], 9: [first], -3: None, 0: [first, 99]}, version=0),
                         [(1, 0), (9, UNKNOWN_TOPIC), (-3, UNKNOWN_TOPIC), (0, INVALID_ASSIGNMENT)])
        self.assertEqual(place()[1], [second, first])
        self.assertEqual(place()[0], first)  # who leads goes on until an election is asked for
        self.assertEqual(self.elect(client, None), {"orders": {1: 0}})
        self.assertEqual(place()[0], second)
        self.assertEqual(self.move(client, {1: [first, second]}), [(1, 0)])
        answer = self.ask_flexible(client, ELECT, 2, b"\0\2" + self.compact("orders") + b"\2" + struct.pack(">i", 1) + b"\0" + struct.pack(">i", 30000) + b"\0")
        self.assertEqual((answer.take("ih"), answer.take("b"), self.compact_text(answer), answer.take("b"), answer.take("ih"), self.compact_text(answer)),
                         ((0, 0), 2, "orders", 2, (1, 0), None))
        self.assertEqual(place(), (first, [first, second]))
        self.assertEqual(self.elect(client, None), {})
        self.assertEqual(self.elect(client, {"orders": [0, 1]}, kind=1), {"orders": {0: ELECTION_NOT_NEEDED, 1: ELECTION_NOT_NEEDED}})
        self.assertEqual(self.elect(client, {"orders": [1]}, kind=9), {})
        for nodes in ([first], [], [first, first]):
            error = INVALID_REPLICATION if len(nodes) == 1 else INVALID_ASSIGNMENT
            self.assertEqual(self.move(client, {1: nodes}, may_change=False), [(1, error)], nodes)
        self.assertEqual(self.move(client, {1: None}), [(1, NO_REASSIGNMENT)])
        self.assertEqual(self.move(client, {0: [first]}, topic="__mesh_groups"), [(0, UNKNOWN_TOPIC)])
        first_of_0 = place(0)[1][0]
        other_of_0, = {first, second} - {first_of_0}
        self.assertEqual(self.move(client, {0: [other_of_0, first_of_0], 1: [second, first]}, timeout_ms=0), [(0, 0), (1, TIMED_OUT)])
        self.assertEqual((place(0)[1], place()[1]), ([other_of_0, first_of_0], [first, second]))
        self.assertEqual(self.move(client, {1: [second, first]}), [(1, 0)])
        self.assertEqual(self.elect(client, {"orders": [0, 1]}, timeout_ms=-1), {"orders": {0: 0, 1: TIMED_OUT}})
        self.assertEqual((place(0)[0], place()[0]), (other_of_0, first))
        self.assertEqual(self.move(client, {1: [second]}), [(1, 0)])  # one replica less
        self.until("it has one replica", lambda: place() == (second, [second]), *brokers)
        client.send(REASSIGN, 1, b"\0" + struct.pack(">i?", 1, True) + b"\xff\xff\xff\xff\x07")
        self.assertTrue(client.is_closed())

    def log_dirs(self, client, version, topics=None):
        """{topic: {partition: size}}; topics: {topic: partitions}"""
        if version == 1:
            asked = struct.pack(">i", -1) if topics is None else wire.array(
                [wire.string(name) + wire.array([struct.pack(">i", number) for number in numbers]) for name, numbers in topics.items()])
            answer = client.ask(LOG_DIRS, 1, asked)
            text, count, end = answer.string, lambda: answer.take("i"), lambda: None
        else:
            asked = b"\0" if topics is None else bytes([len(topics) + 1]) + b"".join(
                self.compact(name) + bytes([len(numbers) + 1]) + struct.pack(f">{len(numbers)}i", *numbers) + b"\0" for name, numbers in topics.items())
            answer = self.ask_flexible(client, LOG_DIRS, version, asked + b"\0")
            text, count, end = lambda: self.compact_text(answer), lambda: answer.take("B") - 1, lambda: self.assertEqual(answer.take("b"), 0)
        self.assertEqual(answer.take("i"), 0)
        self.assertEqual(answer.take("h") if version >= 3 else 0, 0)
        self.assertEqual((count(), answer.take("h")), (1, 0))
        self.assertTrue(text())
        found = {}
        for _ in range(count()):
            sizes = found.setdefault(text(), {})
            for _ in range(count()):
                number, sizes[number], lag, is_future = answer.take("iqq?")
                self.assertEqual((lag, is_future), (0, False))
                end()
            end()
        if version >= 4:
            total, usable = answer.take("qq")
            self.assertEqual(total, -1)
            self.assertGreater(usable, 0)
        if version >= 5:
            self.assertEqual(answer.take("?"), False)
        end()
        end()
        self.assertEqual(answer.at, len(answer.data))
        return found

    def producers(self, client, topics):
        """{topic: {partition: (error, [(id, epoch, last sequence, last time)])}}"""
        answer = self.ask_flexible(client, PRODUCERS, 0, bytes([len(topics) + 1]) + b"".join(
            self.compact(name) + bytes([len(numbers) + 1]) + struct.pack(f">{len(numbers)}i", *numbers) + b"\0" for name, numbers in topics.items()) + b"\0")
        self.assertEqual(answer.take("i"), 0)
        found = {}
        for _ in range(answer.take("B") - 1):
            partitions = found.setdefault(self.compact_text(answer), {})
            for _ in range(answer.take("B") - 1):
                number, error = answer.take("ih")
                self.assertEqual(bool(self.compact_text(answer)), error != 0)
                rows = []
                for _ in range(answer.take("B") - 1):
                    rows.append(answer.take("qiiq"))
                    self.assertEqual((answer.take("iq"), answer.take("b")), ((-1, -1), 0))
                partitions[number] = error, rows
                self.assertEqual(answer.take("b"), 0)
            self.assertEqual(answer.take("b"), 0)
        self.assertEqual((answer.take("b"), answer.at), (0, len(answer.data)))
        return found

    def test_who_keeps_a_partition_tells_of_its_size_and_its_producers(self):
        brokers = self.launch_together(2, options=["--shards", "2"])
        self.mesh("topic", "create", "orders", "--partitions", "4", "--replicas", "1")
        nodes = {broker["name"]: broker["node_id"] for broker in self.status(brokers[0])["brokers"]}
        clients = {}
        for i, broker in enumerate(brokers):
            connection = self.connect(broker)
            self.addCleanup(connection.close)
            clients[nodes[f"b{i}"]] = wire.Client(connection)
        described = {p["partition"]: p["leader"] for p in self.mesh("topic", "describe", "orders", "--json").json["partitions"]}
        leader = described[2]
        other, = set(described.values()) - {leader}
        for first, values in ((0, [b"a", b"b"]), (2, [b"c"])):
            self.assertEqual(clients[leader].produce("orders", 2, wire.batch(values, producer=(4711, 3, first))), (0, first))
        self.assertEqual(clients[leader].produce("orders", 2, wire.batch([b"nobody's"])), (0, 3))
        for version in range(1, 6):
            for node, client in clients.items():
                here = {number for number, its in described.items() if its == node}
                sizes = self.log_dirs(client, version)
                self.assertEqual((set(sizes), set(sizes["orders"])), ({"orders"}, here))
                self.assertEqual({number for number, size in sizes["orders"].items() if size > 0}, {2} & here)
                self.assertEqual(self.log_dirs(client, version, {"orders": [2, 2, 9, -1], "gone": [0], "__mesh_groups": [0]}),
                                 {"orders": {2: sizes["orders"][2]}} if 2 in here else {})
            self.assertEqual(self.log_dirs(client, version, {}), {})
        found = self.producers(clients[leader], {"orders": [2, 9, -1], "gone": [0]})
        (row,) = found["orders"][2][1]
        self.assertEqual(row[:3], (4711, 3, 2))
        self.assertGreater(row[3], 1_700_000_000_000)
        self.assertEqual({name: {number: error for number, (error, _) in partitions.items()} for name, partitions in found.items()},
                         {"orders": {2: 0, 9: UNKNOWN_TOPIC, -1: UNKNOWN_TOPIC}, "gone": {0: UNKNOWN_TOPIC}})
        self.assertEqual(self.producers(clients[other], {"orders": [2]}), {"orders": {2: (NOT_LEADER, [])}})
        untouched, = [number for number, its in described.items() if its == leader and number != 2]
        self.assertEqual(self.producers(clients[leader], {"orders": [untouched]}), {"orders": {untouched: (0, [])}})
        for client, key, version in ((clients[leader], LOG_DIRS, 2), (clients[other], PRODUCERS, 0)):
            client.send(key, version, b"\0\xff\xff\xff\xff\x07")
            self.assertTrue(client.is_closed())

    def test_a_move_that_waits_is_taken_back(self):
        brokers = self.launch_together(2, options=["--set", "moves.per.broker=0"])
        self.mesh("topic", "create", "orders", "--replicas", "1")
        connection = self.connect(brokers[0])
        self.addCleanup(connection.close)
        client = wire.Client(connection)
        here, = self.mesh("topic", "describe", "orders", "--json").json["partitions"][0]["replicas"]
        there, = {broker["node_id"] for broker in self.mesh("status", "--json").json["brokers"]} - {here}
        self.assertEqual(self.move(client, {0: [there]}), [(0, 0)])
        self.assertEqual(set(self.reassignments(client)), {"orders"})
        self.assertEqual(self.move(client, {0: None}), [(0, 0)])
        self.assertEqual(self.reassignments(client), {})
        self.assertEqual(self.move(client, {0: None}), [(0, NO_REASSIGNMENT)])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Records that are deleted: nobody reads them again, whoever asks where, and whichever broker leads later."""
import struct

import kafka_wire as wire
from harness import main
from test_failover import Failover

DELETE_RECORDS = 21
OUT_OF_RANGE, UNKNOWN_TOPIC, INVALID_REQUEST = 1, 3, 42
EARLIEST, LATEST = -2, -1


class Trim(Failover):
    def kafka(self, broker):
        connection = self.connect(broker)
        self.addCleanup(connection.close)
        return wire.Client(connection)

    def delete(self, client, topics, version=1, timeout_ms=30000):
        """{topic: {partition: (low watermark, error)}}; topics: {topic: [(partition, offset)]}"""
        if version < 2:
            answer = client.ask(DELETE_RECORDS, version, wire.array([wire.string(name) + wire.array([struct.pack(">iq", *pair) for pair in pairs])
                                                                     for name, pairs in topics.items()]) + struct.pack(">i", timeout_ms))
            self.assertEqual(answer.take("i"), 0)

            def partition():
                number, low, error = answer.take("iqh")
                return number, (low, error)

            return dict((answer.string(), dict(answer.array(partition))) for _ in range(answer.take("i")))
        body = bytes([len(topics) + 1]) + b"".join(
            bytes([len(name) + 1]) + name.encode() + bytes([len(pairs) + 1]) + b"".join(struct.pack(">iq", *pair) + b"\0" for pair in pairs) + b"\0"
            for name, pairs in topics.items()) + struct.pack(">i", timeout_ms) + b"\0"
        client.send(DELETE_RECORDS, version, b"\0" + body)
        _, answer = client.receive()
        self.assertEqual((answer.take("b"), answer.take("i")), (0, 0))  # tags of the header; throttle time
        found = {}
        for _ in range(answer.take("b") - 1):
            name, parts = answer.bytes(answer.take("B") - 1).decode(), {}
            for _ in range(answer.take("b") - 1):
                number, low, error = answer.take("iqh")
                parts[number] = (low, error)
                self.assertEqual(answer.take("b"), 0)
            self.assertEqual(answer.take("b"), 0)
            found[name] = parts
        self.assertEqual(answer.take("b"), 0)
        return found

    def offset(self, client, topic, when, partition=0):
        answer = client.list_offsets(topic, partition, when)
        self.assertEqual(answer[0], 0)
        return answer[-1]

    def numbers(self, broker, topic, *words):
        return [int(line) for line in self.mesh("consume", topic, "--until-end", *words, broker=broker).out.splitlines()]

    def test_kafka_clients_delete_records_and_see_them_no_more(self):
        broker = self.start_broker()
        self.mesh("topic", "create", "orders", "--partitions", "2")
        self.mesh("produce", "orders", "--partition", "0", stdin=b"".join(b"%d\n" % n for n in range(100)))
        client = self.kafka(broker)
        for version, asked, first in ((0, 10, 10), (1, 25, 25), (2, 60, 60), (1, 30, 60), (2, 60, 60)):
            self.assertEqual(self.delete(client, {"orders": [(0, asked)]}, version), {"orders": {0: (first, 0)}})
            self.assertEqual(self.offset(client, "orders", EARLIEST), first)
            self.assertEqual(self.offset(client, "orders", LATEST), 100)
        self.assertEqual(self.delete(client, {"orders": [(0, 101), (1, 0), (7, 0), (-1, 0)], "gone": [(0, 5)]}, 2),
                         {"orders": {0: (-1, OUT_OF_RANGE), 1: (0, 0), 7: (-1, UNKNOWN_TOPIC), -1: (-1, UNKNOWN_TOPIC)}, "gone": {0: (-1, UNKNOWN_TOPIC)}})
        self.assertEqual(self.delete(client, {"orders": [(1, -5)], "": []}), {"orders": {1: (-1, INVALID_REQUEST)}, "": {}})
        self.assertEqual(client.fetch(("orders", 0, 59))[1][0][2], OUT_OF_RANGE)
        self.assertEqual(self.numbers(broker, "orders", "--partition", "0"), list(range(60, 100)))
        broker.kill()
        broker = self.start_broker()
        client = self.kafka(broker)
        self.assertEqual(self.offset(client, "orders", EARLIEST), 60)
        self.assertEqual(self.numbers(broker, "orders", "--partition", "0"), list(range(60, 100)))
        self.assertEqual(self.delete(client, {"orders": [(0, -1)]}), {"orders": {0: (100, 0)}})
        self.assertEqual(self.numbers(broker, "orders", "--partition", "0"), [])
        self.mesh("produce", "orders", "--partition", "0", stdin=b"100\n")
        self.assertEqual(self.numbers(broker, "orders", "--partition", "0"), [100])

    def test_a_topic_of_very_many_partitions_is_trimmed_whole(self):
        broker = self.start_broker()
        self.mesh("topic", "create", "wide", "--partitions", "4200")
        for partition in (0, 4199):
            self.mesh("produce", "wide", "--partition", partition, stdin=b"x\n" * 3)
        told = self.mesh("topic", "trim", "wide", "--to", "end", "--yes", "--json").json["partitions"]
        self.assertEqual([p["partition"] for p in told], list(range(4200)))
        self.assertEqual({p["partition"]: p["first"] for p in told if p["first"] != 0}, {0: 3, 4199: 3})
        self.assertEqual(self.mesh("consume", "wide", "--until-end", broker=broker).out, b"")

    def test_whoever_leads_later_begins_there_too(self):
        brokers = self.three()
        self.topic(brokers, "orders")
        self.mesh("produce", "orders", broker=brokers[0], stdin=b"".join(b"%d\n" % n for n in range(100)))
        leader = self.leader_of(brokers, "orders")
        other = next(broker for broker in brokers if broker is not leader)
        told = self.mesh("topic", "trim", "orders/0", "--to", "offset:70", "--yes", "--json", broker=other).json  # not the leader: it is asked by the other one
        self.assertEqual([(p["first"], p["records"]) for p in told["partitions"]], [(70, 70)])
        self.assertEqual(self.numbers(leader, "orders"), list(range(70, 100)))
        leader.kill()
        rest = [broker for broker in brokers if broker is not leader]
        for broker in rest:
            self.until("it can be read again", lambda: all(p["problem"] is None for p in self.partitions(broker, "orders")), *rest)
            self.assertEqual([p["log_start"] for p in self.partitions(broker, "orders")], [70])
            self.assertEqual(self.numbers(broker, "orders"), list(range(70, 100)))
        self.mesh("topic", "trim", "orders", "--to", "offset:80", "--yes", broker=rest[0])  # one broker is down, and does not hold it up
        leader.launch()
        self.wait_ready(leader)
        self.until("all replicas are in sync", self.in_sync(rest[0], "orders", 3), *brokers)
        for broker in rest:  # so that the one that was down leads at the end, or whoever: none of them may know less
            self.mesh("drain", broker=broker, code=None)
        self.until("it can be read", lambda: all(p["problem"] is None for p in self.partitions(leader, "orders")), *brokers)
        self.assertEqual(self.numbers(leader, "orders"), list(range(80, 100)))

    def test_a_group_that_stands_before_is_told_and_goes_on_where_it_is_set_to(self):
        def numbers(count):
            return [int(line) for line in self.mesh("consume", "orders", "--group", "g", "--count", str(count)).out.splitlines()]

        self.start_broker()
        self.mesh("topic", "create", "orders")
        self.mesh("produce", "orders", stdin=b"".join(b"%d\n" % n for n in range(50)))
        self.assertEqual(numbers(10), list(range(10)))
        self.mesh("topic", "trim", "orders", "--to", "offset:30", "--yes")
        told = self.mesh("consume", "orders", "--group", "g", "--count", "20", code=1)  # nothing is passed over unasked
        self.assertIn(b"offset out of range", told.err)
        self.mesh("group", "reset", "g", "--topic", "orders", "--to", "earliest", "--yes")
        self.assertEqual(numbers(20), list(range(30, 50)))

    def test_it_is_shown_and_asked_for(self):
        self.start_broker()
        self.mesh("topic", "create", "orders", "--partitions", "2")
        self.mesh("produce", "orders", "--partition", "1", stdin=b"1\n2\n3\n")
        self.assertIn(b"There is nothing to delete.", self.mesh("topic", "trim", "orders", "--to", "time:-1d").err)  # so nothing is asked either
        shown = self.mesh("topic", "trim", "orders", "--to", "end", "--dry-run")
        self.assertIn(b"orders/1", shown.err)
        self.assertIn(b"--yes deletes the records", self.mesh("topic", "trim", "orders", "--to", "end", code=2).err)
        self.assertEqual(self.numbers(self.broker, "orders"), [1, 2, 3])
        for words, code, why in ((["orders/1", "--to", "offset:4", "--yes"], 1, b"behind the last record that is committed"),
                                 (["orders/2", "--to", "end", "--yes"], 1, b"no such partition"), (["gone", "--to", "end", "--yes"], 1, b"unknown topic"),
                                 (["orders", "--to", "beginning", "--yes"], 2, b"--to is end"), (["orders", "--yes"], 2, b"say what stays")):
            self.assertIn(why, self.mesh("topic", "trim", *words, code=code).err)
        self.assertEqual(self.numbers(self.broker, "orders"), [1, 2, 3])
        done = self.mesh("topic", "trim", "orders", "--to", "end", "--yes", "--json").json
        self.assertEqual((done["done"], [(p["partition"], p["first_before"], p["first"]) for p in done["partitions"]]), (True, [(0, 0, 0), (1, 0, 3)]))
        self.assertEqual(self.numbers(self.broker, "orders"), [])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What clients see when brokers die, with the defaults: how many copies, what an acknowledgement says, and that nothing is lost, doubled or reordered."""
import signal
import time

from harness import main
from mesh_case import MeshCase

PARTITIONS = 6


class Failover(MeshCase):
    def partitions(self, broker, topic):
        return self.mesh("topic", "describe", topic, "--json", broker=broker).json["partitions"]

    def in_sync(self, broker, topic, count):
        return lambda: all(len(p["isr"]) == count and p["problem"] is None for p in self.partitions(broker, topic))

    def uuid_of(self, broker):
        return broker.ready.split("broker=")[1].split()[0]

    def node_of(self, broker, seen_from):
        return next(row["node_id"] for row in self.status(seen_from)["brokers"] if row["broker"] == self.uuid_of(broker))

    def three(self):
        brokers = self.launch_together(3)
        self.wait_coordinator(brokers)
        self.until("three brokers", lambda: len(self.status(brokers[0])["brokers"]) == 3, *brokers)
        return brokers

    def topic(self, brokers, name, *words, copies=3):
        made = self.mesh("topic", "create", name, *words, broker=brokers[0])
        for broker in brokers:
            self.until("all replicas are in sync", self.in_sync(broker, name, copies), *brokers)
        return made

    def leader_of(self, brokers, topic, partition=0):
        node = self.partitions(brokers[0], topic)[partition]["leader"]
        return next(broker for broker in brokers if self.node_of(broker, brokers[0]) == node)

    def acknowledged(self, broker, topic):
        """Records below the high watermarks; those of partitions that cannot tell are left out."""
        return sum(p["high_watermark"] for p in self.partitions(broker, topic) if p["problem"] is None)

    def start_producer(self, broker, topic, *words):
        return self.spawn("produce", topic, *words, stdin=-1, stdout=-1, stderr=-1, env=self.command_environment(broker))

    def feed(self, producer, numbers):
        producer.stdin.write(b"".join(b"%d\n" % number for number in numbers))
        producer.stdin.flush()

    def history(self, broker, topic):
        """Partition -> the numbers in it, in the order of their offsets."""
        found = {}
        self.until("all partitions can be read", lambda: all(p["problem"] is None for p in self.partitions(broker, topic)), broker)
        for partition in range(len(self.partitions(broker, topic))):
            out = self.mesh("consume", topic, "--partition", partition, "--until-end", broker=broker).out
            found[partition] = [int(line) for line in out.splitlines()]
        return found

    def assert_once_in_order(self, history, count):
        self.assertEqual(sorted(number for numbers in history.values() for number in numbers), list(range(count)))
        for numbers in history.values():
            self.assertEqual(numbers, sorted(numbers))

    # ---- defaults ----

    def test_a_topic_gets_as_many_copies_as_the_mesh_has_brokers(self):
        first = self.start_broker(self.path("b0"), options=["--name", "b0"])
        self.assertEqual(self.mesh("topic", "create", "alone").err, b"")
        self.assertEqual([p["replicas"] for p in self.partitions(first, "alone")], [[1]])
        second = self.start_broker(self.path("b1"), seeds=[first.address], options=["--name", "b1"])
        third = self.start_broker(self.path("b2"), seeds=[first.address], options=["--name", "b2", "--witness"])
        for broker in (first, second, third):
            self.until("three brokers", lambda at=broker: len(self.status(at)["brokers"]) == 3, first, second, third)
        self.topic([first, second], "two", copies=2)  # the witness keeps none
        self.assertEqual([len(p["replicas"]) for p in self.partitions(first, "alone")], [1])
        facts = self.mesh("produce", "two", "--json", stdin=b"x\n", broker=first).json
        self.assertEqual((facts["replicas_holding"], facts["replicas_synced"]), (2, 2))

    def test_modes_promise_what_they_say(self):
        brokers = self.three()
        for mode, copies, holding, synced in (("isr", 3, 2, 2), ("quorum", 3, 2, 2), ("sync-double-write", 2, 2, 2), ("async", 3, 1, 0)):
            made = self.topic(brokers, mode, "--mode", mode, copies=copies)
            self.assertEqual(made.err, b"")
            facts = self.mesh("produce", mode, "--json", stdin=b"a\nb\n", broker=brokers[1]).json
            self.assertGreaterEqual(facts["replicas_holding"], holding, (mode, facts))
            self.assertGreaterEqual(facts["replicas_synced"], synced, (mode, facts))
            self.assertEqual(facts["unknown"] + facts["failed"] + facts["resent"], 0, (mode, facts))
            self.until("it can be read", lambda topic=mode: self.acknowledged(brokers[2], topic) >= 2, *brokers)
            self.assertEqual(self.mesh("consume", mode, "--until-end", broker=brokers[2]).out, b"a\nb\n")
        told = self.mesh("produce", "isr", "--verbose", stdin=b"c\n", broker=brokers[0]).err
        self.assertRegex(told.decode(), r"each held by [23] replicas when acknowledged, synced to disk on [23] replicas")
        refused = self.mesh("topic", "create", "no", "--mode", "sync-double-write", "--replicas", 3, broker=brokers[0], code=1)
        self.assertIn(b"keeps two replicas, not 3", refused.err)
        warned = self.mesh("topic", "create", "risky", "--set", "min.insync=1", broker=brokers[0])
        self.assertIn(b"may be acknowledged that is on one disk only", warned.err)
        warned = self.mesh("topic", "create", "wished", "--replicas", 5, "--json", broker=brokers[0])
        self.assertIn("5 replicas are wanted and 3 brokers are up", warned.json["warning"])
        self.mesh("produce", "wished", stdin=b"x\n", broker=brokers[0])  # three of five are enough

    # ---- clients ----

    def test_the_only_address_given_dies_and_coordinates_too(self):
        brokers = self.three()
        self.topic(brokers, "orders", "--partitions", PARTITIONS)
        victim = self.broker_of(brokers, self.status(brokers[0])["coordinator"])
        witness = next(broker for broker in brokers if broker is not victim)
        producer = self.start_producer(victim, "orders", "--json")
        self.feed(producer, range(20000))
        self.until("records are acknowledged", lambda: self.acknowledged(witness, "orders") > 2000, *brokers)
        victim.kill()
        self.feed(producer, range(20000, 40000))
        facts = self.finish(producer, seconds=120).json
        self.assertEqual((facts["records"], facts["failed"], facts["unknown"]), (40000, 0, 0), facts)
        self.assert_once_in_order(self.history(witness, "orders"), 40000)
        victim.start()
        self.until("it is in sync again", self.in_sync(witness, "orders", 3), *brokers)
        self.assert_once_in_order(self.history(victim, "orders"), 40000)

    def test_a_leader_that_stops_while_records_are_under_way_is_left(self):
        brokers = self.three()
        self.topic(brokers, "orders")
        leader = self.leader_of(brokers, "orders")
        other = next(broker for broker in brokers if broker is not leader)
        producer = self.start_producer(other, "orders", "--json")
        self.feed(producer, range(5000))
        self.until("records are acknowledged", lambda: self.acknowledged(other, "orders") >= 5000, *brokers)
        leader.process.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        try:
            self.feed(producer, range(5000, 10000))
            facts = self.finish(producer, seconds=120).json
            took_s = time.monotonic() - begin
        finally:
            leader.process.send_signal(signal.SIGCONT)
        self.assertEqual((facts["records"], facts["failed"], facts["unknown"]), (10000, 0, 0), facts)
        self.assertLess(took_s, 30, facts)  # the client's timeout is 30 s: it was not waited for
        self.until("it is in sync again", self.in_sync(other, "orders", 3), *brokers)
        for broker in brokers:
            self.assert_once_in_order(self.history(broker, "orders"), 10000)

    def test_without_idempotence_what_is_not_known_is_told_and_not_doubled(self):
        brokers = self.three()
        self.topic(brokers, "orders")
        leader = self.leader_of(brokers, "orders")
        other = next(broker for broker in brokers if broker is not leader)
        producer = self.start_producer(other, "orders", "--json", "--acks", "1", "--batch-bytes", "4096")
        self.feed(producer, range(30000))
        self.until("records are acknowledged", lambda: self.acknowledged(other, "orders") > 1000, *brokers)
        leader.kill()
        try:
            self.feed(producer, range(30000, 40000))
            codes = (0, 1)
        except BrokenPipeError:
            codes = (1,)  # it has ended already, because of what it does not know
        out, err = producer.communicate(timeout=120)
        self.assertIn(producer.returncode, codes, err)
        self.until("another leader", self.in_sync(other, "orders", 2), *brokers)
        numbers = self.history(other, "orders")[0]
        self.assertEqual(len(numbers), len(set(numbers)))
        if producer.returncode == 1:
            self.assertIn(b"may be in the topic or not", err)

    def test_records_without_a_key_go_on_where_there_are_leaders(self):
        brokers = self.three()
        self.topic(brokers, "orders", "--partitions", PARTITIONS, "--replicas", 1, copies=1)
        victim, witness = brokers[2], brokers[0]
        node = self.node_of(victim, witness)
        gone = {p["partition"] for p in self.partitions(witness, "orders") if p["leader"] == node}
        self.assertTrue(gone)
        producer = self.start_producer(witness, "orders", "--json")
        self.feed(producer, range(1000))
        self.until("records are acknowledged", lambda: self.acknowledged(witness, "orders") >= 1000, *brokers)
        before = self.acknowledged(witness, "orders")
        victim.kill()
        rest = set(range(PARTITIONS)) - gone
        at = 1000
        while sum(p["high_watermark"] for p in self.partitions(witness, "orders") if p["partition"] in rest) < before + 5000:
            self.feed(producer, range(at, at + 100))
            at += 100
            self.assertLess(at, 1000000)
        victim.start()
        facts = self.finish(producer, seconds=120).json
        self.assertEqual((facts["records"], facts["failed"], facts["unknown"]), (at, 0, 0), facts)
        self.assert_once_in_order(self.history(witness, "orders"), at)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Partitions with several replicas, by real brokers: kills while records arrive, followers that come back, and min.insync."""
import signal
import time

from harness import main, text_lines
from mesh_case import MeshCase


class Replication(MeshCase):
    def partitions(self, broker, topic):
        return self.mesh("topic", "describe", topic, "--json", broker=broker).json["partitions"]

    def in_sync(self, broker, topic, count):
        def are_in_sync():
            facts = self.mesh("topic", "describe", topic, "--json", broker=broker, code=None)  # one that was away may not know it yet
            return facts.code == 0 and all(len(p["isr"]) == count and p["problem"] is None for p in facts.json["partitions"])
        return are_in_sync

    def node_of(self, broker, seen_from):
        uuid = broker.ready.split("broker=")[1].split()[0]
        return next(row["node_id"] for row in self.status(seen_from)["brokers"] if row["broker"] == uuid)

    def replicated(self, topic, partitions=1, *settings):
        brokers = self.launch_together(3)
        self.wait_coordinator(brokers)
        self.until("three brokers", lambda: len(self.status(brokers[0])["brokers"]) == 3, *brokers)
        self.mesh("topic", "create", topic, "--partitions", partitions, "--replicas", 3, *settings, broker=brokers[0])
        for broker in brokers:
            self.until("all replicas are in sync", self.in_sync(broker, topic, 3), *brokers)
        return brokers

    def leader_of(self, brokers, topic, partition=0):
        node = self.partitions(brokers[0], topic)[partition]["leader"]
        return next(broker for broker in brokers if self.node_of(broker, brokers[0]) == node)

    def test_what_is_acknowledged_is_held_and_synced_by_all(self):
        brokers = self.replicated("orders")
        facts = self.mesh("produce", "orders", "--json", stdin=b"one\ntwo\n", broker=brokers[1]).json
        self.assertEqual(facts["records"], 2)
        self.assertGreaterEqual(facts["replicas_synced"], 2, facts)
        for broker in brokers:
            self.assertEqual(self.mesh("consume", "orders", "--until-end", broker=broker).out, b"one\ntwo\n")

    def test_the_leader_is_killed_while_records_arrive(self):
        brokers = self.replicated("orders")
        lines = text_lines(60000)
        leader = self.leader_of(brokers, "orders")
        others = [broker for broker in brokers if broker is not leader]
        path = self.path("input")
        with open(path, "wb") as file:
            file.write(b"\n".join(lines) + b"\n")
        producer = self.spawn("produce", "orders", "--partition", 0, path, env=self.command_environment(others[0]))
        self.until("records arrive", lambda: self.partitions(others[0], "orders")[0]["high_watermark"] > 1000 or producer.poll() is not None, *brokers)
        leader.kill()
        self.finish(producer, seconds=120)
        self.until("another leader", lambda: self.partitions(others[0], "orders")[0]["leader"] != self.node_of(leader, others[0]), *others)
        out = self.mesh("consume", "orders", "--until-end", broker=others[1]).out
        self.assertEqual(out.split(b"\n")[:-1], lines)
        leader.start()
        self.until("the killed one is in sync again", self.in_sync(others[0], "orders", 3), *brokers)
        self.assertEqual(self.mesh("consume", "orders", "--until-end", broker=leader).out.split(b"\n")[:-1], lines)

    def test_each_broker_dies_and_returns_in_turn(self):
        brokers = self.replicated("orders", 4)
        expected = []
        for turn, victim in enumerate(brokers):
            witness = brokers[(turn + 1) % 3]
            lines = [b"%d-%d" % (turn, i) for i in range(2000)]
            producer = self.spawn("produce", "orders", "--key-delimiter", "-", stdin=-1, env=self.command_environment(witness))
            producer.stdin.write(b"\n".join(lines[:1000]) + b"\n")
            producer.stdin.flush()
            victim.kill()
            producer.stdin.write(b"\n".join(lines[1000:]) + b"\n")
            self.finish(producer, seconds=120)
            expected += [line.split(b"-")[1] for line in lines]
            victim.start()
            self.until("all are in sync again", self.in_sync(witness, "orders", 3), *brokers)
        for broker in brokers:
            self.assertEqual(sorted(self.mesh("consume", "orders", "--until-end", broker=broker).out.splitlines()), sorted(expected))

    def test_all_brokers_are_killed_at_once(self):
        brokers = self.replicated("orders", 3)
        lines = text_lines(5000)
        self.mesh("produce", "orders", "--partition", 1, stdin=b"\n".join(lines) + b"\n", broker=brokers[0])
        for broker in brokers:
            broker.kill()
        for broker in brokers:
            broker.launch()
        for broker in brokers:
            self.wait_ready(broker)
        self.until("all are in sync again", self.in_sync(brokers[0], "orders", 3), *brokers)
        for broker in brokers:
            self.assertEqual(self.mesh("consume", "orders", "--partition", 1, "--until-end", broker=broker).out.split(b"\n")[:-1], lines)
        self.mesh("produce", "orders", stdin=b"alive\n", broker=brokers[2])

    def test_too_few_in_sync_refuse_writes_and_lose_nothing(self):
        brokers = self.replicated("orders")
        self.mesh("produce", "orders", stdin=b"kept\n", broker=brokers[0])
        leader = self.leader_of(brokers, "orders")
        for broker in brokers:
            if broker is not leader:
                broker.kill()
        refused = self.mesh("produce", "orders", "--timeout", "6", stdin=b"not safe\n", broker=leader, code=None)
        self.assertNotEqual(refused.code, 0, str(refused))
        for broker in brokers:
            if broker is not leader:
                broker.start()
        self.until("all are in sync again", self.in_sync(leader, "orders", 3), *brokers)
        self.mesh("produce", "orders", stdin=b"safe again\n", broker=leader)
        out = self.mesh("consume", "orders", "--until-end", broker=brokers[0]).out.splitlines()
        self.assertEqual((out[0], out[-1]), (b"kept", b"safe again"))
        self.assertIn(len(out), (2, 3), out)  # what was refused was in the leader's log: nobody had promised anything about it

    def test_a_leader_that_sleeps_is_replaced_and_follows_when_it_wakes(self):
        brokers = self.replicated("orders")
        leader = self.leader_of(brokers, "orders")
        other = next(broker for broker in brokers if broker is not leader)
        self.mesh("produce", "orders", stdin=b"before\n", broker=other)
        leader.process.send_signal(signal.SIGSTOP)
        try:
            self.mesh("produce", "orders", "--timeout", "60s", stdin=b"meanwhile\n", broker=other)
        finally:
            leader.process.send_signal(signal.SIGCONT)
        self.until("it is in sync again", self.in_sync(other, "orders", 3), *brokers)
        for broker in brokers:
            self.assertEqual(self.mesh("consume", "orders", "--until-end", broker=broker).out, b"before\nmeanwhile\n")

    def test_more_replicas_than_brokers_are_a_wish(self):
        broker = self.start_broker(self.path("alone"))
        self.mesh("topic", "create", "wished", "--replicas", 3)
        refused = self.mesh("produce", "wished", "--timeout", "3", stdin=b"x\n", code=None)
        self.assertNotEqual(refused.code, 0, str(refused))
        self.mesh("topic", "create", "enough", "--replicas", 3, "--set", "min.insync=1")
        self.mesh("produce", "enough", stdin=b"x\n")
        self.assertEqual(broker.stop(), 0)


if __name__ == "__main__":
    main()

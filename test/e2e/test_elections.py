#!/usr/bin/env python3
"""Who leads when the leader is gone for good: majorities in mode quorum, and what the setting unclean accepts."""
from harness import main, text_lines
from mesh_case import MeshCase


class Elections(MeshCase):
    def partition(self, broker, topic):
        return self.mesh("topic", "describe", topic, "--json", broker=broker).json["partitions"][0]

    def node_of(self, broker, seen_from):
        uuid = broker.ready.split("broker=")[1].split()[0]
        return next(row["node_id"] for row in self.status(seen_from)["brokers"] if row["broker"] == uuid)

    def in_sync(self, broker, topic, count):
        return lambda: len(self.partition(broker, topic)["isr"]) == count

    def replicated(self, topic, *settings, replicas=3):
        brokers = self.launch_together(3)
        self.wait_coordinator(brokers)
        self.until("three brokers", lambda: len(self.status(brokers[0])["brokers"]) == 3, *brokers)
        self.mesh("topic", "create", topic, "--replicas", replicas, *settings, broker=brokers[0])
        for broker in brokers:
            self.until("all replicas are in sync", self.in_sync(broker, topic, replicas), *brokers)
        leader = next(broker for broker in brokers if self.node_of(broker, brokers[0]) == self.partition(brokers[0], topic)["leader"])
        return brokers, leader, [broker for broker in brokers if broker is not leader]

    def consume(self, broker, topic):
        self.until("its end is known", lambda: self.partition(broker, topic)["problem"] is None, broker)
        return self.mesh("consume", topic, "--until-end", broker=broker).out.split(b"\n")[:-1]

    def write(self, broker, topic, lines):
        self.mesh("produce", topic, stdin=b"\n".join(lines) + b"\n", broker=broker)

    def test_a_quorum_goes_on_without_its_leader(self):
        brokers, leader, others = self.replicated("orders", "--set", "mode=quorum")
        lines = text_lines(60000)
        path = self.path("input")
        with open(path, "wb") as file:
            file.write(b"\n".join(lines) + b"\n")
        producer = self.spawn("produce", "orders", "--partition", 0, path, env=self.command_environment(others[0]))
        self.until("records arrive", lambda: self.partition(others[0], "orders")["high_watermark"] > 1000 or producer.poll() is not None, *brokers)
        leader.kill()
        self.finish(producer)
        self.until("another leader", lambda: self.partition(others[0], "orders")["leader"] != self.node_of(leader, others[0]), *others)
        self.assertEqual(self.consume(others[1], "orders"), lines)
        leader.start()
        self.until("the killed one is in sync again", self.in_sync(others[0], "orders", 3), *brokers)
        for broker in brokers:  # and each time the majority that is left knows everything
            broker.kill()
            rest = next(each for each in brokers if each is not broker)
            self.write(rest, "orders", [b"once more"])
            lines.append(b"once more")
            broker.start()
            self.until("all are in sync again", self.in_sync(rest, "orders", 3), *brokers)
        for broker in brokers:
            self.assertEqual(self.consume(broker, "orders"), lines)
        self.assertEqual([line for broker in brokers for line in broker.lines if "may be lost" in line], [])

    def test_a_quorum_that_was_killed_at_once_remembers(self):
        brokers, _, _ = self.replicated("orders", "--set", "mode=quorum")
        lines = text_lines(3000)
        self.write(brokers[0], "orders", lines)
        for broker in brokers:
            broker.kill()
        for broker in brokers[:2]:  # a majority is enough
            broker.launch()
        for broker in brokers[:2]:
            self.wait_ready(broker)
        self.assertEqual(self.consume(brokers[1], "orders"), lines)
        self.write(brokers[0], "orders", [b"more"])
        brokers[2].start()
        self.until("all are in sync again", self.in_sync(brokers[0], "orders", 3), *brokers)
        self.assertEqual(self.consume(brokers[2], "orders"), lines + [b"more"])

    def lose_the_newest(self, topic, *settings, ends="kill"):
        """Two replicas: the leader alone has the newest record, and is away; the other is up."""
        brokers, leader, others = self.replicated(topic, "--set", "min.insync=1", *settings, replicas=2)
        nodes = self.partition(leader, topic)["replicas"]
        follower = next(broker for broker in others if self.node_of(broker, leader) in nodes)
        witness = next(broker for broker in others if broker is not follower)
        self.write(leader, topic, [b"both have it"])
        follower.kill()
        self.until("the leader is alone", self.in_sync(leader, topic, 1), *brokers)
        self.write(leader, topic, [b"one has it"])
        getattr(leader, ends)()
        follower.launch()
        self.wait_ready(follower)
        return brokers, leader, follower, witness

    def leads(self, broker, seen_from):
        return lambda: self.partition(seen_from, "orders")["leader"] == self.node_of(broker, seen_from)

    def nobody_leads(self, seen_from):
        return lambda: self.partition(seen_from, "orders")["leader"] in (None, -1)

    def test_manual_waits_for_who_has_all(self):
        brokers, leader, follower, witness = self.lose_the_newest("orders")
        self.until("nobody leads", self.nobody_leads(witness), *brokers)
        self.assertIn(b"without a leader, first orders/0", self.mesh("status", broker=witness, code=None).out)
        self.assertIn(b"nobody leads", self.mesh("why", "orders/0", broker=witness).out)
        leader.start()
        self.until("it leads again", self.leads(leader, witness), *brokers)
        self.assertEqual(self.consume(follower, "orders"), [b"both have it", b"one has it"])
        self.assertEqual([line for broker in brokers for line in broker.lines if "may be lost" in line], [])

    def test_proactive_goes_on_and_tells_the_loss(self):
        brokers, leader, follower, witness = self.lose_the_newest("orders", "--set", "unclean=proactive", ends="stop")  # who stops in order knows when it comes back what was committed
        self.until("the other one leads", self.leads(follower, witness), *brokers)
        self.until("it tells the loss", lambda: any("acknowledged records may be lost" in line for line in follower.lines), *brokers)
        self.assertIn(b"may be lost", self.mesh("why", "orders/0", broker=witness).out)
        self.write(witness, "orders", [b"after"])
        leader.start()
        self.until("both are in sync again", self.in_sync(witness, "orders", 2), *brokers)
        for broker in brokers:
            self.assertEqual(self.consume(broker, "orders"), [b"both have it", b"after"])
        self.until("it tells what it gave up", lambda: any("are given up" in line for line in leader.lines), leader)

    def state_of(self, uuid, seen_from):
        return next(row["state"] for row in self.mesh("members", "--json", broker=seen_from).json["members"] if row["broker"] == uuid)

    def test_balanced_waits_until_nobody_can_have_more(self):
        brokers, leader, follower, witness = self.lose_the_newest("orders", "--set", "unclean=balanced")
        self.until("nobody leads", self.nobody_leads(witness), *brokers)
        self.assertEqual([line for broker in brokers for line in broker.lines if "may be lost" in line], [])
        uuid = leader.ready.split("broker=")[1].split()[0]
        self.until("it is taken for dead", lambda: self.state_of(uuid, witness) == "dead", *brokers)
        self.mesh("remove", uuid, "--accept-loss", broker=witness)
        self.until("the other one leads", self.leads(follower, witness), *brokers)
        self.until("it tells the loss", lambda: any("acknowledged records may be lost" in line for line in follower.lines), *brokers)
        self.assertEqual(self.consume(witness, "orders"), [b"both have it"])


if __name__ == "__main__":
    main()

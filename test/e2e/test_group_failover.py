#!/usr/bin/env python3
"""The broker that leads a group's partition is killed under load: commits go on, none that was acknowledged is older afterwards, and nobody is given anything else."""
import signal

from harness import main
from mesh_case import MeshCase


class GroupFailover(MeshCase):
    def describe(self, broker, group="g"):
        return self.mesh("group", "describe", group, "--json", broker=broker).json

    def uuid_of(self, broker):
        return broker.ready.split("broker=")[1].split()[0]

    def node_of(self, broker, seen_from):
        return next(row["node_id"] for row in self.status(seen_from)["brokers"] if row["broker"] == self.uuid_of(broker))

    def in_sync(self, broker, topic):
        rows = self.mesh("topic", "describe", topic, "--json", broker=broker).json["partitions"]
        return all(len(row["isr"]) == 3 and row["problem"] is None for row in rows)

    def read(self, path):
        with open(path, "rb") as file:
            return [int(line) for line in file.read().splitlines()]

    def committed(self, broker):
        return {(row["topic"], row["partition"]): row["committed"] or 0 for row in self.describe(broker)["offsets"]}

    def test_a_killed_leader_costs_no_offset_and_moves_nothing(self):
        brokers = self.launch_together(3)
        self.wait_coordinator(brokers)
        self.until("three brokers", lambda: len(self.status(brokers[0])["brokers"]) == 3, *brokers)
        self.mesh("topic", "create", "orders", "--partitions", "3")
        self.until("all replicas are in sync", lambda: self.in_sync(brokers[0], "orders"), *brokers)
        everyone = ",".join(broker.address for broker in brokers)
        out = self.path("out")
        with open(out, "wb") as file:
            member = self.spawn("consume", "orders", "--group", "g", stdout=file, stderr=-1, env=dict(self.command_environment(), MESH_BROKER=everyone))
        producer = self.spawn("produce", "orders", stdin=-1, stdout=-1, stderr=-1, env=dict(self.command_environment(), MESH_BROKER=everyone))
        producer.stdin.write(b"".join(b"%d\n" % number for number in range(1000)))
        producer.stdin.flush()
        self.until("the member reads", lambda: len(self.read(out)) >= 1000, *brokers)
        self.until("it commits", lambda: sum(self.committed(brokers[0]).values()) >= 1000, *brokers)
        self.until("the groups' topic is in sync", lambda: self.in_sync(brokers[0], "__mesh_groups"), *brokers)
        before, offsets = self.describe(brokers[0]), self.committed(brokers[0])
        leader = next(broker for broker in brokers if self.node_of(broker, brokers[0]) == before["coordinator"])
        others = [broker for broker in brokers if broker is not leader]
        leader.kill()
        producer.stdin.write(b"".join(b"%d\n" % number for number in range(1000, 2000)))
        producer.stdin.close()
        self.until("the member reads on", lambda: len(set(self.read(out))) == 2000, *others)
        self.until("another leads", lambda: self.describe(others[0])["coordinator"] not in (None, before["coordinator"]), *others)
        after = self.committed(others[0])
        for place, offset in offsets.items():
            self.assertGreaterEqual(after[place], offset, "an acknowledged offset is older")
        self.until("commits go on", lambda: sum(self.committed(others[0]).values()) >= 2000, *others)
        self.assertEqual(self.describe(others[0])["generation"], before["generation"], "nothing was assigned anew")
        member.send_signal(signal.SIGINT)
        member.communicate(timeout=60)
        self.assertEqual(member.returncode, 128 + signal.SIGINT)


if __name__ == "__main__":
    main()

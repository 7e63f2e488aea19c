#!/usr/bin/env python3
"""What a group has committed is known to every broker: within two seconds, while the leader that kept it is dead, and on a broker that is left alone and never had a replica."""
import json
import time
from urllib.error import URLError
from urllib.request import urlopen

from harness import main
from mesh_case import MeshCase

PARTITIONS = 4
RECORDS = 40  # of each partition
VISIBLE_S = 2


class GroupSpread(MeshCase):
    def get(self, broker, path):
        """None: it had no answer."""
        try:
            with urlopen(f"http://{broker.address}{path}", timeout=60) as answer:
                return json.loads(answer.read())
        except (URLError, OSError):
            return None

    def rows(self, broker):
        answer = self.get(broker, "/v1/groups") or {"groups": []}
        return {row["group"]: row for row in answer["groups"]}

    def lists(self, broker, group, offsets):
        return self.rows(broker).get(group, {}).get("offsets") == offsets

    def committed(self, broker, group):
        answer = self.get(broker, f"/v1/groups/{group}") or {"offsets": []}
        return {row["partition"]: row["committed"] for row in answer["offsets"]}

    def lag(self, broker, group):
        return (self.get(broker, f"/v1/groups/{group}/lag") or {}).get("lag")

    def ages(self, broker, group):
        answer = self.get(broker, f"/v1/groups/{group}") or {"offsets": []}
        return {row["high_watermark_age_ms"] for row in answer["offsets"]}

    def measured_lag(self, broker, group):
        with urlopen(f"http://{broker.address}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        return [line.split()[-1] for line in lines if line.startswith(f'mesh_group_lag{{group="{group}",topic="orders"}}')]

    def ends(self, broker, group):
        return {row["partition"]: row["high_watermark"] for row in self.get(broker, f"/v1/groups/{group}")["offsets"]}

    def agreed_lag(self, brokers, group):
        """What leaders say, once every broker has heard it. What was produced, and one for each leader elected since: it begins with a record of its own."""
        def is_heard():
            self.agreed = self.lag(brokers[0], group)
            return all(self.measured_lag(broker, group) == [str(self.agreed)] for broker in brokers)

        self.until("it is measured everywhere", is_heard, *brokers)
        return self.agreed

    def consume(self, group, count):
        self.mesh("consume", "orders", "--group", group, "--count", str(count), "--timeout", "30")

    def start(self):
        brokers = self.launch_together(4)
        self.wait_coordinator(brokers)
        self.until("four brokers", lambda: len(self.status(brokers[0])["brokers"]) == 4, *brokers)
        self.mesh("topic", "create", "orders", "--partitions", str(PARTITIONS))
        for partition in range(PARTITIONS):
            self.mesh("produce", "orders", "--partition", str(partition), stdin=b"".join(b"%d\n" % number for number in range(RECORDS)))
        self.consume("first", PARTITIONS * RECORDS)  # makes the topic of groups
        for broker in brokers:
            self.until("all brokers hear of it", lambda at=broker: self.lists(at, "first", PARTITIONS), *brokers)
        return brokers

    def witness(self, brokers, prefix):
        """A group that one broker has no replica of, and that broker."""
        for number in range(40):
            group = f"{prefix}-{number}"
            self.consume(group, PARTITIONS * RECORDS)
            for broker in brokers:
                self.until("all brokers hear of it", lambda at=broker, of=group: self.lists(at, of, PARTITIONS), *brokers)
            for broker in brokers:
                if self.rows(broker)[group]["age_ms"] > 0 and broker is not brokers[0]:
                    return group, broker
        return self.fail("every broker has a replica of every group")

    def test_every_offset_is_known_everywhere_soon_and_outlives_its_leader(self):
        brokers = self.start()
        times = []
        for number in range(4):
            self.consume(f"soon-{number}", PARTITIONS * RECORDS)
            begin = time.monotonic()
            for broker in brokers:
                self.until("all brokers hear of it", lambda at=broker, of=number: self.lists(at, f"soon-{of}", PARTITIONS), *brokers)
            times.append(time.monotonic() - begin)
        self.assertLess(min(times), VISIBLE_S, str(times))  # the machine may be busy with something else, not always
        group, witness = self.witness(brokers, "outlives")
        whole = self.committed(brokers[0], group)
        self.assertGreaterEqual(min(whole.values()), RECORDS)
        self.mesh("produce", "orders", "--partition", "1", stdin=b"one\ntwo\n")
        for broker in brokers:
            self.assertEqual(self.committed(broker, group), whole)
            self.until("leaders that answer know it now", lambda at=broker: self.ages(at, group) == {0}, *brokers)
            self.until("the lag is known", lambda at=broker: (self.lag(at, group) or 0) >= 2, *brokers)  # more: a new leader adds one
        coordinator = self.get(witness, f"/v1/groups/{group}")["coordinator"]
        node_of = {row["broker"]: row["node_id"] for row in self.status(witness)["brokers"]}
        leader = next(broker for broker in brokers if node_of[broker.ready.split("broker=")[1].split()[0]] == coordinator)
        leader.kill()
        for broker in brokers:
            if broker is not leader:
                self.until("it is told without its leader", lambda at=broker: self.committed(at, group) == whole, broker)

    def test_a_broker_that_is_left_alone_says_where_a_group_stands(self):
        brokers = self.start()
        group, witness = self.witness(brokers, "alone")
        whole = self.committed(brokers[0], group)
        self.assertGreaterEqual(min(whole.values()), RECORDS)
        for partition in range(PARTITIONS):  # so that the sum is right where every end is
            self.mesh("produce", "orders", "--partition", str(partition), stdin=b"one\n")
        self.until("the lag is known", lambda: (self.lag(witness, group) or 0) >= PARTITIONS, *brokers)
        lag = self.agreed_lag(brokers, group)
        end_of = self.ends(witness, group)
        self.kill_together([broker for broker in brokers if broker is not witness])
        self.until("it answers alone", lambda: self.lag(witness, group) == lag, witness)
        alone = self.get(witness, f"/v1/groups/{group}")
        self.assertEqual(self.ends(witness, group), end_of)
        self.assertEqual({row["partition"]: row["committed"] for row in alone["offsets"]}, whole)
        self.assertGreater(max(row["high_watermark_age_ms"] for row in alone["offsets"]), 0)
        self.assertEqual(self.measured_lag(witness, group), [str(lag)])
        self.assertIsNone(alone["members"], "only a replica knows them")
        ages = [self.get(witness, f"/v1/groups/{group}/lag")["age_ms"] for _ in range(2)]
        self.assertGreater(ages[0], 0)
        self.assertGreater(ages[1], ages[0], "what is not told any more gets older")


if __name__ == "__main__":
    main()

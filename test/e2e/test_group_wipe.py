#!/usr/bin/env python3
"""All replicas of a group's partition are lost for good, in the middle of commits: every offset is there again, as of a moment that the new leader tells, and groups go on."""
import json
import re
import shutil
import threading
import time
from datetime import datetime
from itertools import islice
from urllib.error import URLError
from urllib.request import urlopen

from group_names import names_in
from harness import main
from kafka_wire_groups import Client
from mesh_case import MeshCase

BROKERS = 6  # five of them vote: a majority outlives three, if one of those does not vote
PARTITIONS = 4
RECORDS = 30000  # of each partition: more than is committed, one after the other, while the test lasts
QUIET = 20      # groups that committed once, long before
STALE_S = 5
GROUPS_TOPIC = "__mesh_groups"
RECOVERED = "every complete replica of a partition of groups was lost: offsets were recovered"


class Committer(threading.Thread):
    """A consumer outside of groups that commits the next offset of all partitions, as soon as the one before is acknowledged."""

    def __init__(self, connection, group):
        super().__init__(daemon=True)
        self.client, self.group, self.acked, self.slowest = Client(connection), group, [], 0.0
        self.is_over = False

    def run(self):
        offset, begin = 1, time.time()
        while not self.is_over and offset < RECORDS:
            try:
                errors = self.client.commit(self.group, {"orders": {partition: offset for partition in range(PARTITIONS)}})
            except (OSError, EOFError):
                return
            if any(errors["orders"].values()):
                continue
            now = time.time()
            if self.acked:
                self.slowest = max(self.slowest, now - begin)
            self.acked.append((now, offset))
            offset, begin = offset + 1, now

    def at(self, when):
        """What was acknowledged by then."""
        return max((offset for moment, offset in self.acked if moment <= when), default=0)


class Looker(threading.Thread):
    """Asks a broker one question after the other: how long the machine lets it wait at most."""

    def __init__(self, case, broker):
        super().__init__(daemon=True)
        self.case, self.broker, self.slowest, self.is_over = case, broker, 0.0, False

    def run(self):
        while not self.is_over:
            begin = time.monotonic()
            self.case.get(self.broker, "/livez")
            self.slowest = max(self.slowest, time.monotonic() - begin)


class GroupWipe(MeshCase):
    @staticmethod
    def get(broker, path):
        """None: it had no answer."""
        try:
            with urlopen(f"http://{broker.address}{path}", timeout=60) as answer:
                return answer.read()
        except (URLError, OSError):
            return None

    def rows(self, broker):
        answer = json.loads(self.get(broker, "/v1/groups") or b'{"groups": []}')
        return {row["group"]: row for row in answer["groups"]}

    def in_sync(self, broker, topic, count):
        rows = self.mesh("topic", "describe", topic, "--json", broker=broker).json["partitions"]
        return all(len(row["isr"]) == count and row["problem"] is None for row in rows)

    def uuid_of(self, broker):
        return broker.ready.split("broker=")[1].split()[0]

    def client(self, broker):
        connection = self.connect(broker, seconds=120)
        self.addCleanup(connection.close)
        return connection

    def committed(self, broker, group):
        error, told = Client(self.client(broker)).committed(group, {"orders": list(range(PARTITIONS))})
        return None if error != 0 else {number: cell[0] for number, cell in told["orders"].items() if cell[3] == 0}

    def voters(self, broker):
        return {row["broker"] for row in self.status(broker)["voters"] if not row["learner"]}

    def place(self, brokers):
        """A partition of groups whose three holders may go, as one of them does not vote. Its number, holders, and the rest."""
        status = self.status(brokers[0])
        voters = self.voters(brokers[0])
        node_of = {row["broker"]: row["node_id"] for row in status["brokers"]}
        broker_of = {node_of[self.uuid_of(broker)]: broker for broker in brokers}
        self.assertEqual(len(voters), 5)
        for row in self.mesh("topic", "describe", GROUPS_TOPIC, "--json").json["partitions"]:
            holders = [broker_of[node] for node in row["replicas"]]
            if any(self.uuid_of(broker) not in voters for broker in holders):
                return row["partition"], holders, [broker for broker in brokers if broker not in holders]
        return self.fail("no such partition")

    def start(self):
        brokers = self.launch_together(BROKERS)
        self.wait_coordinator(brokers)
        self.until("all serve", lambda: [row["state"] for row in self.status(brokers[0])["brokers"]] == ["serving"] * BROKERS, *brokers)
        self.until("five vote", lambda: len(self.voters(brokers[0])) == 5, *brokers)
        self.mesh("topic", "create", "orders", "--partitions", str(PARTITIONS), "--replicas", str(BROKERS), "--set", "min.insync=2")
        for partition in range(PARTITIONS):
            self.mesh("produce", "orders", "--partition", str(partition), stdin=b"".join(b"%d %d\n" % (partition, n) for n in range(RECORDS)))
        self.mesh("consume", "orders", "--group", "first", "--count", "1")  # makes the topic of groups
        self.until("the groups' topic is in sync", lambda: self.in_sync(brokers[0], GROUPS_TOPIC, 3), *brokers)
        return brokers

    def remove_for_good(self, gone, survivors):
        for broker in gone:
            shutil.rmtree(broker.data)
        self.wait_coordinator(survivors)
        for broker in gone:
            name = broker.options[broker.options.index("--name") + 1]
            self.until(f"{name} is removed", lambda at=name: self.mesh("remove", at, "--accept-loss", broker=survivors[0], code=None).code == 0, *survivors)

    def test_every_offset_is_recovered_and_no_more_than_five_seconds_old(self):
        brokers = self.start()
        partition, holders, survivors = self.place(brokers)
        group, shared, *quiet = islice(names_in(partition), 2 + QUIET)
        self.broker = survivors[0]
        client = Client(self.client(survivors[0]))
        for number, name in enumerate(quiet):
            self.until("it commits", lambda at=name, n=number: client.commit(at, {"orders": {p: 10 * n + p for p in range(PARTITIONS)}})["orders"] ==
                       {p: 0 for p in range(PARTITIONS)}, *brokers)
        everyone = ",".join(broker.address for broker in survivors)
        out = self.path("out")
        with open(out, "wb") as file:
            self.spawn("consume", "orders", "--group", shared, stdout=file, stderr=-3, env=dict(self.command_environment(), MESH_BROKER=everyone))
        committer = Committer(self.client(survivors[0]), group)
        lookers = [Looker(self, broker) for broker in survivors]
        for thread in [committer, *lookers]:
            thread.start()
        for broker in survivors:
            self.until("all brokers hear of all groups", lambda at=broker: all(self.rows(at).get(name, {}).get("offsets") == PARTITIONS for name in [group, shared, *quiet]), *brokers)
        begin = len(committer.acked)
        self.until("commits go on", lambda: len(committer.acked) > begin + 50, *brokers)
        self.kill_together(holders)
        for thread in [committer, *lookers]:
            thread.is_over = True
        self.remove_for_good(holders, survivors)

        def lines():
            return [line for broker in survivors for line in broker.lines if RECOVERED in line and f" partition={partition} " in line]
        self.until("offsets are recovered", lambda: len(lines()) == 1, *survivors)
        print(lines()[0], flush=True)
        as_of = datetime.fromisoformat(re.search(r"as_of=(\S+)Z", lines()[0]).group(1) + "+00:00").timestamp()
        self.until("offsets are told", lambda: (self.committed(survivors[0], group) or {}).keys() == set(range(PARTITIONS)), *survivors)
        busy_s = max(thread.slowest for thread in [committer, *lookers])  # what is late by this machine, not by Mesh
        newest, recovered = committer.acked[-1], self.committed(survivors[0], group)
        stale_s = max(newest[0] - next(moment for moment, offset in committer.acked if offset >= found) for found in recovered.values())
        print(f"{len(committer.acked)} commits of {group}, the last {newest[1]}, came back as {recovered}: {stale_s:.2f} s old; told: {newest[0] - as_of:.2f} s; "
              f"slowest answer {busy_s:.2f} s", flush=True)
        for found in recovered.values():
            self.assertGreaterEqual(found, committer.at(as_of - busy_s), "what was acknowledged before that moment")
        self.assertLess(stale_s, STALE_S + 3 * busy_s)
        self.assertLess(newest[0] - as_of, STALE_S + 3 * busy_s)
        for number, name in enumerate(quiet):
            for broker in survivors:
                self.assertEqual(self.committed(broker, name), {p: 10 * number + p for p in range(PARTITIONS)}, name)
        self.mesh("produce", "orders", "--partition", "0", stdin=b"after\n", broker=survivors[0])

        def read():
            with open(out, "rb") as file:
                return set(file.read().splitlines())
        self.until("who consumes goes on", lambda: b"after" in read(), *survivors)
        self.assertEqual(len(read()), PARTITIONS * RECORDS + 1, "every record was handed out")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A member with a valid key that lies about committed offsets and about ends (liar_spread.c): what it does not lead nobody believes it, and all that is true goes on being told."""
import json
import os
from urllib.error import URLError
from urllib.request import urlopen

from group_names import names_beside
from harness import main
from mesh_case import QUICK, MeshCase, free_addresses

LIAR = os.environ.get("MESH_LIAR", os.path.join(os.path.dirname(os.environ.get("MESH_BINARY", "")), "..", "..", "test", "e2e", "mesh_liar"))
LIES = ("rounds", "pieces", "recovered", "ends", "garbage")
PARTITIONS = 4
RECORDS = 10  # of each
FAR = 1 << 30


class GroupLiars(MeshCase):
    def get(self, broker, path):
        """None: it had no answer."""
        try:
            with urlopen(f"http://{broker.address}{path}", timeout=60) as answer:
                return answer.read().decode()
        except (URLError, OSError):
            return None

    def metrics(self, broker, begin):
        return [float(line.split()[-1]) for line in (self.get(broker, "/metrics") or "").splitlines() if line.startswith(begin)]

    def rows(self, broker):
        return {row["group"]: row for row in json.loads(self.get(broker, "/v1/groups") or '{"groups": []}')["groups"]}

    def lag(self, broker, group):
        """As it can tell alone, of what it was told."""
        return self.metrics(broker, f'mesh_group_lag{{group="{group}",topic="orders"}}')

    def node_of(self, broker):
        uuid = broker.ready.split("broker=")[1].split()[0]
        return next(row["node_id"] for row in self.status(self.broker)["brokers"] if row["broker"] == uuid)

    def own_of(self, liar):
        """The partition that the liar leads, once it leads one: where brokers start slowly leaders change."""
        node, found = self.node_of(liar), []

        def leads():
            rows = self.mesh("topic", "describe", "orders", "--json").json["partitions"]
            found[:] = [row["partition"] for row in rows if row["leader"] == node]
            return found
        self.until("the liar leads a partition", leads, liar)
        return found[0]

    def behind(self, group):
        """As the leaders say."""
        ends = sum(row["high_watermark"] or 0 for row in self.mesh("topic", "describe", "orders", "--json").json["partitions"])
        return ends - sum(row["committed"] or 0 for row in json.loads(self.get(self.broker, f"/v1/groups/{group}") or '{"offsets": []}')["offsets"])

    def refused(self, broker):
        return sum(self.metrics(broker, "mesh_group_spread_refused_total"))

    def tell(self, *words):
        with open(self.path("lie.new"), "w", encoding="ascii") as file:
            file.write(" ".join(words))
        os.rename(self.path("lie.new"), self.path("lie"))

    def start(self):
        """Three honest brokers and the liar, which is honest still; each leads a partition of orders."""
        addresses = free_addresses(4)
        lying = {"prefix": [LIAR], "env": {"MESH_LIE": self.path("lie")}}
        brokers = [self.new_broker(self.path(f"b{i}"), listen=addresses[i], seeds=addresses, options=["--expect", "4", "--name", f"b{i}", *QUICK],
                                   **(lying if i == 3 else {})) for i in range(4)]
        for broker in brokers:
            broker.launch()
        for broker in brokers:
            self.wait_ready(broker)
        self.broker = brokers[0]
        self.wait_coordinator(brokers)
        self.until("all serve", lambda: [row["state"] for row in self.status(self.broker)["brokers"]] == ["serving"] * 4, *brokers)
        self.mesh("topic", "create", "orders", "--partitions", PARTITIONS, "--replicas", 3)
        for partition in range(PARTITIONS):
            self.mesh("produce", "orders", "--partition", partition, stdin=b"record\n" * RECORDS)
        return brokers[:3], brokers[3]

    def group_of(self, honest):
        """A group that an honest broker leads and another one has no replica of."""
        nodes = [self.node_of(broker) for broker in honest]
        for number in range(40):
            group = f"g-{number}"
            self.mesh("consume", "orders", "--group", group, "--count", PARTITIONS * RECORDS)
            for broker in honest:
                self.until("it is known everywhere", lambda at=broker, of=group: self.rows(at).get(of, {}).get("offsets") == PARTITIONS, *honest)
            leader = json.loads(self.get(self.broker, f"/v1/groups/{group}"))["coordinator"]
            if leader in nodes and any(self.rows(broker)[group]["age_ms"] > 0 for broker in honest):
                return group
        return self.fail("no such group")

    def test_what_a_broker_says_that_does_not_lead_it_is_not_believed(self):
        honest, liar = self.start()
        group = self.group_of(honest)
        told = []

        def agree():
            told[:] = [self.lag(broker, group) for broker in honest]
            return told[0] and told == [told[0]] * len(honest)

        def tell_and_produce(lie):
            """Its end changes, so it tells all others of it, and lies before that. True: and nobody else told it."""
            own = self.own_of(liar)
            self.tell(lie, topic, group, phantom, str(own))
            self.mesh("produce", "orders", "--partition", own, stdin=b"another\n")
            self.until("all measure the same", lambda: agree() and told[0][0] < FAR, *honest, liar)
            return self.own_of(liar) == own

        topic, phantom = self.mesh("topic", "describe", "orders", "--json").json["id"], next(names_beside(group))
        self.until("all measure the same", agree, *honest)
        for lie in LIES:
            before = [self.refused(broker) for broker in honest]
            self.until(f"{lie}: it is told", lambda of=lie, old=before: tell_and_produce(of) and
                       (of == "ends" or all(self.refused(broker) > count for broker, count in zip(honest, old))), *honest, liar)
            for broker in honest:
                self.until(f"{lie}: what is true is told", lambda at=broker: self.lag(at, group) == [self.behind(group)], *honest, liar)
                self.assertNotIn(phantom, self.rows(broker), lie)
                self.assertEqual(self.rows(broker)[group]["offsets"], PARTITIONS, lie)
        self.mesh("consume", "orders", "--group", group, "--count", len(LIES), "--timeout", "60s")
        self.assertEqual([line for broker in honest for line in broker.lines if "assertion" in line], [])


if __name__ == "__main__":
    main()

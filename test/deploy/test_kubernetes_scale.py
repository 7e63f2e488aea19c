#!/usr/bin/env python3
"""The StatefulSet of deploy/k8s is scaled, 1 -> 3 -> 5 -> 3, as its README says it, while clients with default settings produce and consume. The pods that come are
started by the line of a mesh of one, the first of them while no name server answers: it must wait, and not found a mesh of its own."""
import time

from pod_case import PodCase, run


class Scaled(PodCase):
    OVERLAY = "one"

    def factor(self, topic, count):
        self.mesh("topic", "alter", topic, "--set", f"replicas={count}")
        self.wait_in_sync(topic, count)

    def hosted(self, name):
        """Replicas of that broker, of all topics and of groups."""
        return self.mesh("drain", name, "--no-wait", "--undo", "--json").json["hosted"]

    def grow(self, *numbers):
        pods = [self.create(number) for number in numbers]
        self.cluster.publish()
        for pod in pods:
            self.wait_ready(pod)

    def is_one_mesh(self, count):
        status = self.mesh("status", "--json").json
        return len(status["brokers"]) == count and all(row["state"] == "serving" for row in status["brokers"])

    def wait_one_mesh(self, count):
        self.until(f"they are not one mesh of {count}", lambda: self.is_one_mesh(count), *[pod.broker for pod in self.cluster.pods.values()])

    def test_one_three_five_three(self):
        self.grow(0)
        self.mesh("topic", "create", "orders", "--partitions", "3")
        self.begin_clients("orders")
        self.wait_flow()

        names = self.cluster.names
        names.is_silent = True
        first = self.create(1)
        begin = time.monotonic()
        self.cluster.publish()
        self.until("it asks for names, for longer than founders wait for others", lambda: names.asked > 0 and time.monotonic() - begin > 8, first.broker)
        self.assertIsNone(first.broker.process.poll(), first.broker.log())
        self.assertFalse(self.cluster.probe(first, "/readyz"), "whom does it think it has found?")
        names.is_silent = False
        self.wait_ready(first)
        self.grow(2)
        self.wait_one_mesh(3)
        self.factor("orders", 3)
        self.wait_flow()

        self.grow(3, 4)
        self.wait_one_mesh(5)
        self.mesh("topic", "create", "wide", "--partitions", "10", "--replicas", "3")
        self.mesh("produce", "wide", stdin=b"kept\n" * 100)
        self.mesh("topic", "move", "orders", "--to", "mesh-4,mesh-3,mesh-0")  # so that the pods that go lead what is produced
        for number in 3, 4:
            self.assertGreater(self.hosted(f"mesh-{number}"), 0)
        self.wait_flow()

        for number in 4, 3:
            told = self.mesh("drain", f"mesh-{number}", "--empty", "--timeout", "100s", "--json").json
            self.assertEqual((told["hosted"], told["led"]), (0, 0))
        self.wait_flow()
        for number in 4, 3:
            self.delete(number)
        self.cluster.publish()
        for number in 4, 3:
            self.until("it may be removed", lambda n=number: self.mesh("remove", f"mesh-{n}", code=None).code == 0, self.cluster.pods[0].broker)
        self.wait_one_mesh(3)
        self.wait_in_sync("orders", 3)
        self.wait_in_sync("wide", 3)
        self.assertEqual(self.mesh("consume", "wide", "--until-end").out, b"kept\n" * 100)
        self.wait_flow()
        print(f"{self.end_clients()} records while the mesh grew and shrank")


if __name__ == "__main__":
    run(__file__)

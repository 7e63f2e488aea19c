#!/usr/bin/env python3
"""deploy/k8s when machines are emptied and name servers fail, while clients with default settings produce and consume: two pods are evicted under the
PodDisruptionBudget, of which the second has to wait; pods come back with another address while name servers say nothing, answer late, or tell the old address. The
seed of this mesh is the service's SRV record."""
import manifests
from pod_case import PodCase, run


class Trouble(PodCase):
    seed = "_mesh._tcp.mesh-headless.default.svc.cluster.local"

    def may_evict(self):
        """What the API server says to an eviction."""
        budget = manifests.find(self.cluster.objects, "PodDisruptionBudget", "mesh")["spec"]
        wanted = manifests.find(self.cluster.objects, "StatefulSet", "mesh")["spec"]["replicas"]
        ready = sum(self.cluster.probe(pod, "/readyz") for pod in self.cluster.pods.values())
        return ready - 1 >= wanted - budget["maxUnavailable"]

    def start(self):
        for number in range(3):
            self.create(number)
        self.cluster.publish()
        for pod in self.cluster.pods.values():
            self.wait_ready(pod)
        self.mesh("topic", "create", "orders", "--partitions", "3")
        self.wait_in_sync("orders", 3)
        self.begin_clients("orders")
        self.wait_flow()

    def test_machines_are_drained_and_name_servers_fail(self):
        self.start()
        self.assertTrue(self.may_evict())
        self.delete(2)
        self.assertFalse(self.may_evict(), "the second machine is not drained before the first pod is back")
        again = self.create(2)
        self.cluster.publish()
        self.assertFalse(self.may_evict())
        self.wait_ready(again)
        self.until("the second may go", self.may_evict, *[pod.broker for pod in self.cluster.pods.values()])
        self.assertEqual(self.behind("orders", "mesh-2"), [])
        self.delete(1)
        self.wait_ready_again(1)
        self.wait_flow()

        names = self.cluster.names
        names.is_silent = True  # the pod remembers others' addresses; clients, which hear of no other ones, wait for the end of it
        self.delete(0)
        self.wait_ready_again(0)
        self.assertGreater(names.asked, 0)
        names.is_silent, names.slow_s = False, 1.5
        self.wait_flow()
        self.delete(2)
        self.wait_ready_again(2)
        self.wait_flow()
        names.slow_s = 0
        self.delete(1)
        stale = self.create(1)
        self.cluster.publish(late=15)
        self.wait_ready(stale)
        self.wait_flow()
        print(f"{self.end_clients()} records while machines were drained and name servers failed")


if __name__ == "__main__":
    run(__file__)

#!/usr/bin/env python3
"""The StatefulSet of deploy/k8s in a cluster of our own (cluster.py): first boot of all pods at once, a rolling restart in which each pod comes back with another
address, and a pod whose volume was wiped. Records are produced and consumed throughout with default settings: no error, nothing lost, nothing doubled."""
import time

from pod_case import PodCase, run

FIRST_RECORD_S = 10  # the bound of issue 8; a sanitizer's or a busy machine's is another, and this test is of the release build


class Kubernetes(PodCase):
    def boot(self):
        begin = time.monotonic()
        for number in range(3):
            self.create(number)
        self.cluster.publish()
        for pod in self.cluster.pods.values():
            self.wait_ready(pod)
        self.mesh("topic", "create", "orders", "--partitions", "3")
        self.mesh("produce", "first", stdin=b"one\n")
        return time.monotonic() - begin

    def test_first_boot_rolling_restart_and_a_wiped_volume(self):
        took = self.boot()
        print(f"first boot to the first acknowledged record: {took:.1f} s")
        self.assertLess(took, FIRST_RECORD_S)
        self.wait_in_sync("orders", 3)
        self.begin_clients("orders")
        for number in 2, 1, 0:
            self.delete(number)
            self.wait_ready_again(number)  # a controller asks no more than this: it is the broker that waits until it is in sync
            self.assertEqual(self.behind("orders", f"mesh-{number}"), [])
        self.delete(1, wipe=True)
        self.wait_ready_again(1)
        print(f"{self.end_clients()} records while every pod was replaced")


if __name__ == "__main__":
    run(__file__)

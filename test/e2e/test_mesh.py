#!/usr/bin/env python3
"""One coordinator, one set of topics: first boots, changes through any broker, and the loss of whoever coordinates."""
import os
import shutil
import signal
import socket
import time

from addresses import free_addresses
from harness import main
from mesh_case import PATIENCE_S, MeshCase, QUICK


class Mesh(MeshCase):
    # ---- changes ----

    def test_a_topic_made_through_any_broker_is_on_every_broker(self):
        brokers = self.start_mesh(4)
        self.assertEqual(len(self.clusters(brokers)), 1)
        self.wait_coordinator(brokers)
        for number, broker in enumerate(brokers):
            self.mesh("topic", "create", f"t{number}", "--partitions", "3", "--replicas", "1", broker=broker)
        wanted = {"t0", "t1", "t2", "t3"}
        for broker in brokers:
            self.until(f"{broker.address} does not know all topics", lambda: self.topics(broker) == wanted, broker)
        described = [self.mesh("topic", "describe", "t2", "--json", broker=broker).json for broker in brokers]
        self.assertEqual(len({topic["id"] for topic in described}), 1)
        self.assertEqual(len({str([(p["leader"], p["replicas"]) for p in topic["partitions"]]) for topic in described}), 1)
        self.mesh("topic", "delete", "t0", broker=brokers[3])
        for broker in brokers:
            self.until("a deleted topic stays", lambda: "t0" not in self.topics(broker), broker)
        twice = self.mesh("topic", "create", "t1", broker=brokers[2], code=1)
        self.assertIn(b"exists already", twice.err)

    def test_node_ids_are_given_once_and_kept(self):
        brokers = self.start_mesh(3)
        before = {row["broker"]: row["node_id"] for row in self.status(brokers[0])["brokers"]}
        self.assertEqual(sorted(before.values()), [1, 2, 3])
        self.assertEqual(brokers[2].stop(), 0)
        brokers[2].start()
        after = {row["broker"]: row["node_id"] for row in self.status(brokers[2])["brokers"]}
        self.assertEqual(before, after)

    def test_partitions_are_written_and_read_through_a_broker_that_does_not_lead_them(self):
        brokers = self.start_mesh(3)
        self.mesh("topic", "create", "spread", "--partitions", "6", "--replicas", "1", broker=brokers[1])
        lines = b"".join(b"line %d\n" % i for i in range(3000))
        self.mesh("produce", "spread", "--key-delimiter", " ", stdin=lines, broker=brokers[2])
        leaders = {p["leader"] for p in self.mesh("topic", "describe", "spread", "--json", broker=brokers[0]).json["partitions"]}
        self.assertEqual(len(leaders), 3)
        for broker in brokers:
            out = self.mesh("consume", "spread", "--until-end", broker=broker).out
            self.assertEqual(sorted(out.splitlines()), sorted(line.split(b" ", 1)[1] for line in lines.splitlines()))

    def described(self, broker, topic):
        return self.mesh("topic", "describe", topic, "--json", broker=broker).json["partitions"]

    def test_every_broker_says_how_far_every_partition_goes(self):
        brokers = self.start_mesh(3)
        self.mesh("topic", "create", "spread", "--partitions", "6", "--replicas", "1", broker=brokers[0])
        for number in range(6):
            self.mesh("produce", "spread", "--partition", number, stdin=b"x\n" * (10 + number), broker=brokers[number % 3])
        for broker in brokers:
            partitions = self.described(broker, "spread")
            self.assertEqual([p["high_watermark"] for p in partitions], [10 + number for number in range(6)])
            self.assertEqual([p["problem"] for p in partitions], [None] * 6)
            self.assertEqual(partitions, self.described(brokers[0], "spread"))
            self.assertTrue(all(p["bytes"] > 0 for p in partitions), partitions)
            listed = self.mesh("topic", "list", "--json", broker=broker).json["topics"]
            self.assertEqual([topic["records"] for topic in listed], [sum(range(10, 16))])

    def test_a_leader_that_clients_cannot_reach_is_written_and_read_through_others(self):
        """It advertises an address where nobody listens, so only the links that it makes itself lead to it."""
        first = self.start_broker(self.path("b0"), options=["--name", "b0", *QUICK])
        nowhere = socket.socket()  # bound and not listening: whoever connects is refused
        self.addCleanup(nowhere.close)
        nowhere.bind(("127.0.0.1", 0))
        hidden = self.start_broker(self.path("b1"), seeds=[first.address],
                                   options=["--name", "b1", "--advertise", "127.0.0.1:%d" % nowhere.getsockname()[1], *QUICK])
        self.mesh("topic", "create", "spread", "--partitions", "4", "--replicas", "1", broker=first)
        leaders = {p["leader"] for p in self.described(first, "spread")}
        self.assertEqual(len(leaders), 2)
        for number in range(4):
            lines = b"".join(b"%d-%d\n" % (number, i) for i in range(500))
            self.mesh("produce", "spread", "--partition", number, stdin=lines, broker=first)
            self.assertEqual(self.mesh("consume", "spread", "--partition", number, "--until-end", broker=first).out, lines)
        for broker in (first, hidden):
            self.assertEqual([p["high_watermark"] for p in self.described(broker, "spread")], [500] * 4)
        self.assertEqual(len(self.mesh("consume", "spread", "--until-end", broker=first).out.splitlines()), 2000)

    def check_that_a_silent_leader_is_no_empty_partition(self, silence):
        brokers = self.start_mesh(3)
        self.mesh("topic", "create", "spread", "--partitions", "6", "--replicas", "1", broker=brokers[0])
        for number in range(6):
            self.mesh("produce", "spread", "--partition", number, stdin=b"x\n" * 10, broker=brokers[0])
        node_id = next(row["node_id"] for row in self.status(brokers[0])["brokers"] if row["broker"] in brokers[2].ready)
        its = [p["partition"] for p in self.described(brokers[0], "spread") if p["leader"] == node_id]
        self.assertTrue(its)
        silence(brokers[2])
        # At once, when nobody has noticed, and later, when it is known to be gone.
        for seconds in (0, PATIENCE_S):
            until = time.monotonic() + seconds
            while True:
                begin = time.monotonic()
                partitions = self.described(brokers[0], "spread")
                self.assertLess(time.monotonic() - begin, 30, "as long as for an answer that never comes")
                self.assertEqual([p["partition"] for p in partitions if p["problem"] is not None], its, partitions)
                self.assertEqual([p["high_watermark"] for p in partitions if p["partition"] not in its], [10] * (6 - len(its)))
                if time.monotonic() > until or {p["leader"] for p in partitions if p["partition"] in its} == {-1}:
                    break
            refused = self.mesh("consume", "spread", "--until-end", broker=brokers[0], code=None)
            self.assertNotEqual(refused.code, 0, str(refused))
            self.assertIn(b"partition %d" % its[0], refused.err)
            self.assertEqual(refused.out, b"")
        other = next(number for number in range(6) if number not in its)
        self.assertEqual(self.mesh("consume", "spread", "--partition", other, "--until-end", broker=brokers[0]).out, b"x\n" * 10)
        return brokers

    def test_a_leader_that_was_killed_is_an_error_and_no_empty_partition(self):
        brokers = self.check_that_a_silent_leader_is_no_empty_partition(lambda broker: broker.kill())
        brokers[2].start()
        self.until("its partitions are not read again",
                   lambda: len(self.mesh("consume", "spread", "--until-end", broker=brokers[0], code=None).out.splitlines()) == 60, *brokers)

    def test_a_leader_that_hangs_is_an_error_and_no_empty_partition(self):
        brokers = self.check_that_a_silent_leader_is_no_empty_partition(lambda broker: broker.process.send_signal(signal.SIGSTOP))
        brokers[2].process.send_signal(signal.SIGCONT)

    # ---- first boot ----

    def check_first_boot(self, count):
        brokers = self.launch_together(count)
        self.assertEqual(len(self.clusters(brokers)), 1)
        self.wait_coordinator(brokers)
        self.mesh("topic", "create", "t", broker=brokers[-1])
        for broker in brokers:
            self.until("a topic is missing", lambda: self.topics(broker) == {"t"}, broker)
        return brokers

    def test_three_machines_with_the_same_line_are_one_mesh(self):
        self.check_first_boot(3)

    def test_five_machines_with_the_same_line_are_one_mesh(self):
        self.check_first_boot(5)

    def test_two_of_three_found_and_the_third_joins(self):
        addresses = free_addresses(3)
        brokers = [self.new_broker(self.path(f"b{i}"), listen=addresses[i], seeds=addresses, options=["--expect", "3", "--name", f"b{i}", *QUICK])
                   for i in range(3)]
        brokers[0].launch()
        self.assertIsNone(brokers[0].wait_line("mesh: ready on ", 3), "a broker alone founds nothing")
        brokers[1].launch()
        for broker in brokers[:2]:
            self.wait_ready(broker)
        brokers[2].launch()
        self.wait_ready(brokers[2])
        self.assertEqual(len(self.clusters(brokers)), 1)

    def test_a_later_pod_founds_no_mesh_of_its_own(self):
        """`--expect 1` on every pod: with the first one gone for a moment, the second sees nobody but itself."""
        if os.geteuid() != 0:
            self.skipTest("only root may have another host name")
        for name, founds in (("mesh-1", False), ("mesh-10", False), ("mesh-0", True), ("box-a", True)):
            with self.subTest(name):
                address, = free_addresses(1)
                broker = self.new_broker(self.path(name), listen=address, seeds=[address], options=["--expect", "1", *QUICK], env={"KUBERNETES_SERVICE_HOST": "10.0.0.1"},
                                         prefix=["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name])
                broker.launch()
                if founds:
                    self.wait_ready(broker)
                else:
                    self.assertIsNotNone(broker.wait_line("not the first pod of its StatefulSet"), broker.log())
                    self.assertIsNone(broker.wait_line("mesh: ready on ", 2), broker.log())
                broker.stop()

    def test_different_expectations_found_nothing_and_say_so(self):
        addresses = free_addresses(2)
        brokers = [self.new_broker(self.path(f"b{i}"), listen=addresses[i], seeds=addresses, options=["--expect", str(2 + i), "--name", f"b{i}"])
                   for i in range(2)]
        for broker in brokers:
            broker.launch()
        for broker in brokers:
            self.assertIsNotNone(broker.wait_line("--expect"), broker.log())
            self.assertIsNone(broker.ready)
        for broker in brokers:
            broker.kill()

    def test_a_founded_marker_forbids_a_second_founding(self):
        marker = self.path("marker")
        broker = self.start_broker(self.path("b0"), options=["--founded-marker", marker])
        cluster = self.status(broker)["cluster"]
        self.assertIn(cluster, open(marker, encoding="ascii").read())
        self.assertEqual(broker.stop(), 0)
        shutil.rmtree(self.path("b0"))
        broker.launch()
        self.assertIsNotNone(broker.wait_line(marker), broker.log())
        self.assertEqual(broker.wait(), 1)

    # ---- losses ----

    def test_another_coordinator_takes_over_and_nothing_is_forgotten(self):
        brokers = self.check_first_boot(3)
        first = self.coordinators(brokers).pop()
        victim = self.broker_of(brokers, first)
        rest = [broker for broker in brokers if broker is not victim]
        victim.kill()
        self.wait_coordinator(rest, but={first})
        self.mesh("topic", "create", "after", broker=rest[0])
        for broker in rest:
            self.until("a topic is missing", lambda: self.topics(broker) == {"t", "after"}, broker)
        victim.start()
        self.until("the old coordinator has not caught up", lambda: self.topics(victim) == {"t", "after"}, victim)

    def voters(self, broker):
        return {row["name"] for row in self.status(broker)["voters"] if not row["learner"]}

    def test_two_brokers_and_a_witness_fail_over(self):
        brokers = self.start_mesh(2)
        witness = self.start_broker(self.path("w"), seeds=[brokers[0].address], options=["--name", "w", "--witness", *QUICK])
        everybody = [*brokers, witness]
        self.until("the witness does not vote", lambda: self.voters(witness) == {"b0", "b1", "w"}, *everybody)
        rows = {row["name"]: row for row in self.status(witness)["brokers"]}
        self.assertEqual({name: row["witness"] for name, row in rows.items()}, {"b0": False, "b1": False, "w": True})

        # It hosts nothing, whichever broker is asked and however many partitions there are; it takes and gives records all the same.
        self.mesh("topic", "create", "spread", "--partitions", "8", "--replicas", "1", broker=witness)
        hosts = {node_id for p in self.described(witness, "spread") for node_id in p["replicas"]}
        self.assertEqual(hosts, {rows["b0"]["node_id"], rows["b1"]["node_id"]})
        self.mesh("produce", "spread", "--key-delimiter", " ", stdin=b"".join(b"%d %d\n" % (i, i) for i in range(500)), broker=witness)
        self.assertEqual(len(self.mesh("consume", "spread", "--until-end", broker=witness).out.splitlines()), 500)

        # Either of the two may die: the other one and the witness are a majority.
        for number in range(2):
            dead, alive = brokers[number], brokers[1 - number]
            dead.kill()
            self.wait_coordinator([alive, witness], but={dead.ready.split("broker=")[1].split()[0]})
            self.mesh("topic", "create", f"without-{number}", "--replicas", "1", broker=witness if number else alive)
            self.until("the witness does not know", lambda: f"without-{number}" in self.topics(witness) & self.topics(alive), *everybody)
            dead.start()
            self.until("who came back does not know", lambda: f"without-{number}" in self.topics(dead), *everybody)
            self.until("not all serve again", lambda: {row["state"] for row in self.status(dead)["brokers"]} == {"serving"}, *everybody)
        self.assertEqual(self.voters(witness), {"b0", "b1", "w"})
        self.assertEqual(len(self.mesh("consume", "spread", "--until-end", broker=witness).out.splitlines()), 500)

    def test_without_a_majority_reading_works_and_changes_are_refused_for_now(self):
        brokers = self.check_first_boot(3)
        for broker in brokers[1:]:
            broker.kill()
        self.until("it still believes in a coordinator", lambda: self.status(brokers[0])["coordinator"] is None, brokers[0])
        self.assertEqual(self.topics(brokers[0]), {"t"})
        refused = self.mesh("topic", "create", "more", broker=brokers[0], code=1)
        self.assertIn(b"coordinator", refused.err)
        brokers[1].start()
        self.until("no coordinator", lambda: self.status(brokers[0])["coordinator"] is not None, *brokers[:2])
        self.mesh("topic", "create", "more", broker=brokers[0])

    def test_everything_stops_and_comes_back(self):
        brokers = self.check_first_boot(3)
        for broker in brokers:
            broker.kill()
        for broker in brokers:
            broker.launch()
        for broker in brokers:
            self.wait_ready(broker)
        self.wait_coordinator(brokers)
        self.mesh("topic", "create", "more", broker=brokers[2])
        self.until("topics are missing", lambda: self.topics(brokers[0]) == {"t", "more"}, brokers[0])

    def test_a_broker_with_a_wiped_disk_joins_as_a_new_one(self):
        brokers = self.check_first_boot(3)
        self.assertEqual(brokers[2].stop(), 0)
        shutil.rmtree(self.path("b2"))
        brokers[2].launch()
        self.wait_ready(brokers[2])
        self.assertEqual(len(self.clusters(brokers)), 1)
        self.assertEqual(self.topics(brokers[2]), {"t"})
        self.assertEqual(len(self.status(brokers[0])["brokers"]), 4)


if __name__ == "__main__":
    main()

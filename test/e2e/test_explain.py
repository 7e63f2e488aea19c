#!/usr/bin/env python3
"""What a mesh says of itself: why a broker leads a partition, what is wrong with the mesh, and what to do about it."""
import os
import time

from harness import CONFIG_HOME, Case, main

PATIENCE_S = 60  # a limit is for what hangs
QUICK = ["--set", "election.ms=400"]  # elections of a test need not take seconds


class Explain(Case):
    def setUp(self):
        super().setUp()
        if not os.path.exists(os.path.join(CONFIG_HOME, "mesh", "key")):
            self.mesh("key", "generate")

    def start_mesh(self, count):
        """b0 founds, the others join through it; returned when all are registered."""
        brokers = []
        for number in range(count):
            seeds = [brokers[0].address] if brokers else []
            brokers.append(self.start_broker(self.path(f"b{number}"), seeds=seeds, options=["--name", f"b{number}", *QUICK]))
        return brokers

    def until(self, what, find, *brokers):
        """The first result of find() that is not None."""
        begin = time.monotonic()
        while (found := find()) is None:
            self.assertLess(time.monotonic() - begin, PATIENCE_S, what + "\n" + "\n---\n".join(broker.log() for broker in brokers))
        return found

    def why(self, broker, partition):
        return self.mesh("why", partition, "--json", broker=broker).json

    # ---- why ----

    def test_a_partition_that_was_never_elected_says_who_was_placed(self):
        broker, = self.start_mesh(1)
        self.mesh("topic", "create", "t", "--partitions", "2", broker=broker)
        told = self.why(broker, "t/1")
        self.assertEqual({key: told[key] for key in ("topic", "partition", "leader", "leader_name", "elected", "decided_index")},
                         {"topic": "t", "partition": 1, "leader": 1, "leader_name": "b0", "elected": False, "decided_index": 0})
        self.assertIn("never elected", told["reason"])
        self.assertEqual([(row["node_id"], row["name"], row["standing"]) for row in told["candidates"]], [(1, "b0", "leads: placed as leader")])
        text = self.mesh("why", "t/1", broker=broker).out.decode()
        self.assertIn("t/1: it was never elected: broker 1 (b0) was chosen", text)
        self.assertIn("STANDING", text)

    def test_what_does_not_exist_is_refused(self):
        broker, = self.start_mesh(1)
        self.mesh("topic", "create", "t", broker=broker)
        for partition in ("t/1", "other/0"):
            self.assertIn(b"no such partition", self.mesh("why", partition, broker=broker, code=1).err)
        for partition in ("t", "/0", "t/", "t/-1", "t/x"):
            self.assertIn(b"TOPIC/NUMBER", self.mesh("why", partition, broker=broker, code=2).err)

    def test_one_replica_on_a_dead_broker_has_no_other_candidate(self):
        brokers = self.start_mesh(3)
        self.mesh("topic", "create", "t", "--partitions", "3", "--replicas", "1", broker=brokers[0])
        led = {row["leader"]: row["partition"] for row in self.mesh("topic", "describe", "t", "--json", broker=brokers[0]).json["partitions"]}
        victim = next(row for row in self.mesh("status", "--json", broker=brokers[0]).json["brokers"] if row["name"] == "b2")["node_id"]
        partition = f"t/{led[victim]}"
        brokers[2].kill()

        def elected():
            told = self.why(brokers[0], partition)
            return told if told["elected"] and told["leader"] == -1 else None
        told = self.until("the dead broker still leads", elected, *brokers[:2])
        self.assertIn("the leader before lost its session", told["reason"])
        self.assertIn("one replica, so there is no other candidate", told["reason"])
        self.assertIn(f"when broker {victim} (b2) is", told["reason"])
        self.assertGreater(told["decided_index"], 0)
        row, = told["candidates"]
        self.assertEqual((row["node_id"], row["score"]), (victim, 0))
        self.assertIn("fenced", row["flags"])
        self.assertIn("no session with the coordinator", row["standing"])
        self.assertEqual(self.until("they tell different stories", lambda: self.why(brokers[1], partition) if self.why(brokers[1], partition) == told else None),
                         told)
        self.assertIn("could not lead", self.mesh("why", partition, broker=brokers[1]).out.decode())
        brokers[2].start()

        def returned():
            told = self.why(brokers[0], partition)
            return told if told["leader"] == victim else None
        told = self.until("it leads no more", returned, *brokers)
        self.assertIn("a broker that may lead came back", told["reason"])
        self.assertGreater(told["candidates"][0]["score"], 0)

    # ---- status ----

    def status(self, broker):
        return self.mesh("status", "--json", broker=broker).json

    def problems(self, broker):
        return [problem["what"] for problem in self.status(broker)["problems"]]

    def test_two_brokers_are_told_what_they_cannot_do(self):
        brokers = self.start_mesh(2)
        self.until("not said", lambda: True if "two brokers, and only b0 votes" in self.problems(brokers[1]) else None, *brokers)
        problem, = self.status(brokers[1])["problems"]
        self.assertIn("mesh join --witness", problem["remedy"])
        status = self.status(brokers[0])
        self.assertEqual([(row["name"], row["heard"]) for row in status["voters"] if not row["learner"]], [("b0", True)])
        self.assertEqual({row["name"]: row["state"] for row in status["brokers"]}, {"b0": "serving", "b1": "serving"})
        self.assertEqual(status["brokers"][0]["role"], "coordinator")
        text = self.mesh("status", broker=brokers[0]).out.decode()
        self.assertIn("two brokers, and only b0 votes", text)
        self.assertRegex(text, r"b0 .* coordinator +serving")
        self.assertRegex(text, r"b1 .* (observer|learner) +serving")

    def test_a_dead_broker_is_fenced_and_without_the_voter_there_is_no_coordinator(self):
        brokers = self.start_mesh(2)
        brokers[1].kill()
        self.until("the dead is not fenced",
                   lambda: next((True for row in self.status(brokers[0])["brokers"] if row["name"] == "b1" and row["state"] == "fenced"), None), *brokers)
        brokers[1].start()
        self.until("the living is fenced",
                   lambda: next((True for row in self.status(brokers[1])["brokers"] if row["name"] == "b1" and row["state"] == "serving"), None), *brokers)
        brokers[0].kill()

        def lost():
            status = self.status(brokers[1])
            return status if status["coordinator"] is None and any("not heard: b0" in problem["what"] for problem in status["problems"]) else None
        status = self.until("it still believes in a coordinator", lost, brokers[1])
        problem = next(problem for problem in status["problems"] if problem["what"].startswith("no coordinator for "))
        self.assertIn("0 of 1 voters are heard, 1 is needed; not heard: b0", problem["what"])
        self.assertIn("start the voters", problem["remedy"])
        self.assertEqual([(row["name"], row["heard"]) for row in status["voters"] if not row["learner"]], [("b0", False)])


if __name__ == "__main__":
    main()

"""What people ask of brokers: mesh events, mesh drain."""
import json
import signal
import subprocess

from harness import main
from mesh_case import MeshCase


class Operate(MeshCase):
    def events(self, *words, broker=None, code=0):
        return [json.loads(line) for line in self.mesh("events", "--json", *words, broker=broker, code=code).out.decode().splitlines()]

    def read_until(self, child, text):
        """The lines come or the test hangs, and then ctest ends it."""
        for line in child.stdout:
            if text in json.loads(line)["text"]:
                return
        self.fail(f"the output ended before {text}")

    def has_event(self, events, kind, text, name=None):
        return any(event["kind"] == kind and text in event["text"] and (name is None or event["name"] == name) for event in events)

    def test_every_broker_tells_elections_fences_and_topics(self):
        """Any broker tells what all have noted, in the order of their clocks; what is asked of one comes from that one."""
        brokers = self.launch_together(3)
        self.mesh("topic", "create", "orders", "--partitions", "12", "--replicas", "3")
        for broker in brokers:
            self.until("a broker did not note the topic", lambda: all(
                self.has_event(self.events(broker=broker), "topic", "topic=orders", f"b{i}") for i in range(3)), broker)
        one = self.events("--of", "b1", broker=brokers[0])
        self.assertEqual({event["name"] for event in one}, {"b1"})
        self.assertTrue(self.has_event(one, "broker", "started name=b1"))
        self.assertEqual([event["sequence"] for event in one], sorted(event["sequence"] for event in one))
        brokers[2].kill()
        self.until("no election was noted", lambda: all(
            self.has_event(self.events("--of", f"b{i}", broker=brokers[0]), "election", "from=b2") and
            self.has_event(self.events("--of", f"b{i}", broker=brokers[0]), "fence", "as fenced name=b2") for i in range(2)), *brokers[:2])
        everything = self.events("--of", "b0", broker=brokers[1])
        led = [event for event in everything if event["kind"] == "election" and "from=b2" in event["text"]]
        self.assertLess(len(led), 12, "each partition had a line of its own")
        self.assertEqual([event["time_ms"] for event in everything], sorted(event["time_ms"] for event in everything))
        recent = self.events("--since", "1ms", "--of", "b0", broker=brokers[0])
        self.assertLess(len(recent), len(everything), "all of it is said to be of the last millisecond")
        text = self.mesh("events", broker=brokers[0], code=None)
        self.assertRegex(text.out.decode(), r"(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z b0 info  election ")

    def leaders(self, broker, topic):
        return [partition["leader"] for partition in self.mesh("topic", "describe", topic, "--json", broker=broker).json["partitions"]]

    def drain(self, *words, broker):
        return self.mesh("drain", "--json", "--timeout", "60s", *words, broker=broker).json

    def test_a_drained_broker_leads_nothing_and_answers(self):
        """Asked of another one; records go on; the coordinator is drained like any other; undone, it leads again, and after a start, too."""
        brokers = self.launch_together(3)
        self.mesh("topic", "create", "orders", "--partitions", "30", "--replicas", "3", broker=brokers[0])
        for at, name in enumerate(("b0", "b1", "b2")):
            before = self.mesh("produce", "orders", stdin=b"before\n", broker=brokers[at])
            self.assertEqual(before.code, 0)
            told = self.drain(name, broker=brokers[(at + 1) % 3])
            self.assertEqual((told["name"], told["drained"], told["led"]), (name, True, 0))
            row = next(row for row in self.status(brokers[at])["brokers"] if row["name"] == name)
            self.assertEqual(row["state"], "draining")
            self.until("it leads", lambda: row["node_id"] not in self.leaders(brokers[at], "orders"), *brokers)
            self.mesh("produce", "orders", stdin=b"through the drained one\n" * 50, broker=brokers[at])
            self.assertTrue(self.has_event(self.events("--of", name, broker=brokers[at]), "fence", f"somebody drains this broker name={name}"))
            again = self.drain(name, broker=brokers[at])
            self.assertTrue(again["drained"])
            if at < 2:
                self.assertFalse(self.drain(name, "--undo", broker=brokers[at])["drained"])
                self.until("it does not serve again", lambda: all(row["state"] == "serving" for row in self.status(brokers[at])["brokers"]), *brokers)
                self.mesh("topic", "create", f"later{at}", "--partitions", "12", "--replicas", "3", broker=brokers[at])
                self.until("its replicas are not in sync again", lambda: self.status(brokers[at])["partitions"]["under_replicated"] == 0, *brokers)
        brokers[2].stop()
        brokers[2].launch()
        self.wait_ready(brokers[2])
        self.until("it is still drained", lambda: all(row["state"] == "serving" for row in self.status(brokers[0])["brokers"]), *brokers)
        count = int(self.mesh("consume", "orders", "--until-end", broker=brokers[0]).out.count(b"\n"))
        self.assertEqual(count, 3 + 150)

    def test_status_says_what_is_wrong_since_when_and_to_scripts(self):
        brokers = self.launch_together(3)
        self.mesh("topic", "create", "orders", "--partitions", "6", "--replicas", "3", broker=brokers[0])
        self.until("the mesh is not healthy", lambda: self.mesh("status", "--check", broker=brokers[0], code=None).code == 0, *brokers)
        told = self.status(brokers[0])
        self.assertEqual((told["healthy"], told["events"]), (True, []))
        brokers[2].kill()
        self.until("nothing is wrong", lambda: self.mesh("status", "--check", broker=brokers[0], code=None).code == 1, *brokers)
        self.until("no event says it", lambda: self.has_event(self.status(brokers[0])["events"], "fence", "as fenced name=b2"), *brokers)
        self.assertFalse(self.status(brokers[0])["healthy"])
        text = self.mesh("status", broker=brokers[0]).out.decode()
        self.assertIn("what happened last ('mesh events' shows all)", text)
        self.assertRegex(text, r"ago: the coordinator holds a broker as fenced name=b2")

    def test_nobody_is_drained_whom_none_could_replace(self):
        broker = self.start_mesh(1)[0]
        failed = self.mesh("drain", "--self", broker=broker, code=1)
        self.assertIn("no other broker could take over", failed.err.decode())
        self.mesh("drain", "b0", "--self", broker=broker, code=2)
        self.mesh("drain", "b7", broker=broker, code=1)
        self.assertEqual(self.status(broker)["brokers"][0]["state"], "serving")
        self.mesh("produce", "orders", stdin=b"1\n", broker=broker)

    def test_a_broker_that_is_not_there_is_said(self):
        brokers = self.launch_together(2)
        failed = self.mesh("events", "--of", "nobody", broker=brokers[0], code=1)
        self.assertIn("there is no such broker", failed.err.decode())
        self.mesh("events", "--since", "soon", broker=brokers[0], code=2)
        brokers[1].process.send_signal(signal.SIGSTOP)
        try:
            failed = self.mesh("events", "--of", "b1", broker=brokers[0], code=None)
            self.assertIn(failed.code, (1, 4), failed.err.decode())
            self.assertIn("b1", failed.err.decode())
        finally:
            brokers[1].process.send_signal(signal.SIGCONT)

    def test_events_are_followed(self):
        broker = self.start_mesh(1)[0]
        follower = self.spawn("events", "--follow", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.read_until(follower, "started name=b0")
        self.mesh("topic", "create", "late", broker=broker)
        self.read_until(follower, "topic=late")
        follower.send_signal(signal.SIGINT)
        self.finish(follower, code=130)

    def read_error(self, child, text):
        for line in child.stderr:
            if text in line.decode():
                return
        self.fail(f"standard error ended before {text}")

    def test_following_goes_on_while_a_broker_is_silent_and_while_all_are(self):
        """Said once each; what was noted meanwhile comes afterwards."""
        brokers = self.launch_together(3)
        self.until("not all serve", lambda: [row["state"] for row in self.status(brokers[0])["brokers"]] == ["serving"] * 3, *brokers)
        follower = self.spawn("events", "--follow", "--json", "--broker", ",".join(broker.address for broker in brokers), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for stream in (follower.stdout, follower.stderr):
            self.addCleanup(stream.close)
        self.read_until(follower, "started name=b1")
        brokers[2].process.send_signal(signal.SIGSTOP)
        self.read_until(follower, "name=b2")  # the others hold it as fenced: events go on
        self.mesh("topic", "create", "meanwhile", broker=brokers[0])
        self.read_until(follower, "topic=meanwhile")
        brokers[2].process.send_signal(signal.SIGCONT)
        for broker in brokers:
            broker.stop()
        self.read_error(follower, "its events come when it does")
        self.assertIsNone(follower.poll())
        for broker in brokers:
            broker.launch()
        for broker in brokers:
            self.wait_ready(broker)
        self.mesh("topic", "create", "afterwards", broker=brokers[0])
        self.read_until(follower, "topic=afterwards")
        follower.send_signal(signal.SIGINT)
        self.finish(follower, code=130)

    def test_several_brokers_are_drained_within_one_time(self):
        brokers = self.launch_together(3)
        self.mesh("topic", "create", "orders", "--partitions", "12", "--replicas", "3", broker=brokers[0])
        self.until("not all are in sync", lambda: self.status(brokers[0])["partitions"]["under_replicated"] == 0, *brokers)
        told = [json.loads(line) for line in self.mesh("drain", "b0", "b1", "--json", "--timeout", "60s", broker=brokers[2]).out.decode().splitlines()]
        self.assertEqual([(row["name"], row["drained"], row["led"]) for row in told], [("b0", True, 0), ("b1", True, 0)])
        failed = self.mesh("drain", "b2", "b0", broker=brokers[0], code=1)
        self.assertIn("no other broker could take over", failed.err.decode())
        self.assertIn("b0 leads nothing", failed.err.decode())  # one that is refused does not hide what the others are
        self.mesh("drain", "b1", "nobody", "--undo", broker=brokers[0], code=1)
        self.assertEqual({row["name"]: row["state"] for row in self.status(brokers[2])["brokers"]}["b1"], "draining")  # a wrong name: nobody was asked
        self.mesh("drain", "b0", "b1", "--undo", broker=brokers[0])
        self.until("they do not serve again", lambda: [row["state"] for row in self.status(brokers[0])["brokers"]] == ["serving"] * 3, *brokers)

    def test_a_drain_that_is_interrupted_or_late_says_how_it_stands(self):
        """It cannot end: b1 leads what has no other replica."""
        brokers = self.launch_together(3)
        self.mesh("topic", "create", "orders", "--partitions", "6", "--replicas", "1", broker=brokers[0])
        waiting = self.spawn("drain", "b1", "--timeout", "10m", "--broker", brokers[0].address, stderr=subprocess.PIPE)
        self.until("b1 was not asked", lambda: self.has_event(self.events("--of", "b1", broker=brokers[0]), "fence", "somebody drains this broker name=b1"), *brokers)
        waiting.send_signal(signal.SIGINT)
        told = self.finish(waiting, code=130).err.decode()
        self.assertRegex(told, r"b1: it goes on by itself, \d partitions are left\. 'mesh drain b1' waits again, 'mesh drain b1 --undo' takes it back\.")
        for seconds in (1, 4, 16, 64):  # the machine may be slow
            late = self.mesh("drain", "b1", "--timeout", f"{seconds}s", broker=brokers[0], code=4).err.decode()
            if "it still leads" in late:
                break
        self.assertRegex(late, r"draining b1: it still leads \d partitions, of which no other replica is in sync")

    def test_a_silent_broker_does_not_keep_others_from_being_drained(self):
        brokers = self.launch_together(3)
        self.until("not all serve", lambda: [row["state"] for row in self.status(brokers[0])["brokers"]] == ["serving"] * 3, *brokers)
        brokers[1].process.send_signal(signal.SIGSTOP)
        try:
            failed = self.mesh("drain", "b1", "b0", broker=brokers[0], code=None)
            self.assertIn(failed.code, (1, 4), str(failed))
            self.assertIn("draining b1", failed.err.decode())
            self.assertIn("b0 leads nothing", failed.err.decode())
        finally:
            brokers[1].process.send_signal(signal.SIGCONT)


if __name__ == "__main__":
    main()

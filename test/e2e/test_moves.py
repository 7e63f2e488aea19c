#!/usr/bin/env python3
"""Replicas that move between real brokers while records are produced and consumed; every record is compared."""
import os
import signal
import threading

from harness import environment, main
from mesh_case import MeshCase

QUIET = ["--set", "moves.spread.ms=1000"]  # how long a test can wait for quiet
PACE_S = 0.01
PIECE = 40  # lines of about 60 bytes


class Load:
    """A producer and a consumer at work. Lines are KEY:NUMBER and some text; of each key they have to come out complete and in order."""

    def __init__(self, case, topic, brokers, keys=8):
        self.case, self.topic, self.keys = case, topic, keys
        self.seen_path = case.path(f"{topic}.seen")
        env = environment({"MESH_BROKER": ",".join(broker.address for broker in brokers)})
        self.seen = open(self.seen_path, "wb")
        self.producer = case.spawn("produce", topic, "--key-delimiter", ":", "--timeout", "120s", stdin=-1, stderr=-1, env=env)
        self.consumer = case.spawn("consume", topic, "--keys", "--key-delimiter", ":", stdout=self.seen, stderr=-1, env=env)
        self.sent, self.is_over = 0, threading.Event()
        self.feeder = threading.Thread(target=self._feed, daemon=True)
        self.feeder.start()

    def line(self, number):
        return b"k%d:%d %s" % (number % self.keys, number, b"x" * (number % 97))

    def _feed(self):
        try:
            while not self.is_over.wait(PACE_S):
                self.producer.stdin.write(b"".join(self.line(number) + b"\n" for number in range(self.sent, self.sent + PIECE)))
                self.producer.stdin.flush()
                self.sent += PIECE
        except (BrokenPipeError, ValueError):
            pass  # finish() tells why it ended

    def count_seen(self):
        return os.path.getsize(self.seen_path)

    def flows(self):
        """True once something that is sent from now on was consumed."""
        begin, target = self.count_seen(), sum(len(self.line(number)) + 1 for number in range(PIECE))
        return lambda: self.count_seen() > begin + target

    def finish(self, *brokers):
        self.is_over.set()
        self.feeder.join(120)
        self.case.finish(self.producer, seconds=180)
        expected = sum(len(self.line(number)) + 1 for number in range(self.sent))
        self.case.until(f"the consumer has all {expected}", lambda: self.count_seen() >= expected or self.consumer.poll() is not None, *brokers)
        self.consumer.send_signal(signal.SIGINT)
        self.case.finish(self.consumer, code=None)
        self.seen.close()
        with open(self.seen_path, "rb") as file:
            self.check(file.read().splitlines())

    def check(self, lines):
        got = {}
        for line in lines:
            got.setdefault(line.split(b":")[0], []).append(line)
        for key in range(self.keys):
            expected = [self.line(number) for number in range(key, self.sent, self.keys)]
            self.case.assertEqual(got.get(b"k%d" % key, []), expected, f"key {key}")


class Moves(MeshCase):
    def partitions(self, broker, topic):
        return self.mesh("topic", "describe", topic, "--json", broker=broker).json["partitions"]

    def node_of(self, broker, seen_from):
        uuid = broker.ready.split("broker=")[1].split()[0]
        return next(row["node_id"] for row in self.status(seen_from)["brokers"] if row["broker"] == uuid)

    def nodes_of(self, brokers):
        return [self.node_of(broker, brokers[0]) for broker in brokers]

    def at_rest(self, broker, topic, factor):
        """All have `factor` replicas, all in sync, and can be asked."""
        return lambda: all(len(p["replicas"]) == len(p["isr"]) == factor and p["problem"] is None for p in self.partitions(broker, topic))

    def begin(self, count, topic, partitions, replicas, *settings, options=QUIET):
        brokers = self.launch_together(count, options=options)
        self.wait_coordinator(brokers)
        self.until("all are registered", lambda: len(self.status(brokers[0])["brokers"]) == count, *brokers)
        self.mesh("topic", "create", topic, "--partitions", partitions, "--replicas", replicas, *settings, broker=brokers[0])
        for broker in brokers:
            self.until("all replicas are in sync", self.at_rest(broker, topic, replicas), *brokers)
        return brokers

    def add_broker(self, brokers, number):
        broker = self.start_broker(self.path(f"b{number}"), seeds=[brokers[0].address], options=["--name", f"b{number}", *self.quick()])
        self.broker = brokers[0]
        return broker

    @staticmethod
    def quick():
        return ["--set", "election.ms=400", *QUIET]

    def hosted(self, broker, topic):
        counts = {}
        for partition in self.partitions(broker, topic):
            for node in partition["replicas"]:
                counts[node] = counts.get(node, 0) + 1
        return counts

    def directories(self, broker, topic):
        """Partitions of the topic whose logs lie in the broker's directory."""
        uuid = self.mesh("topic", "describe", topic, "--json").json["id"]
        found = set()
        for folder, names, _ in os.walk(broker.data):
            if os.path.basename(folder) == uuid:
                found |= {int(name) for name in names if name.isdigit()}
        return found

    def test_replicas_are_spread_onto_a_fourth_broker(self):
        brokers = self.begin(3, "orders", 8, 3)
        load = Load(self, "orders", brokers)
        brokers.append(self.add_broker(brokers, 3))
        new = self.node_of(brokers[3], brokers[0])
        self.until("the new one holds its share", lambda: self.hosted(brokers[0], "orders").get(new, 0) >= 5, *brokers, seconds=120)
        self.until("the moves have ended", self.at_rest(brokers[0], "orders", 3), *brokers, seconds=120)
        self.until("records flow", load.flows(), *brokers)
        load.finish(*brokers)
        counts = self.hosted(brokers[0], "orders")
        self.assertLessEqual(max(counts.values()) - min(counts.values()), 2, counts)
        for broker in brokers:
            node = self.node_of(broker, brokers[0])
            held = {p["partition"] for p in self.partitions(brokers[0], "orders") if node in p["replicas"]}
            self.until("what moved away is gone from its disk", lambda b=broker, h=held: self.directories(b, "orders") <= h, *brokers)

    def test_the_replication_factor_goes_up_and_down(self):
        brokers = self.begin(3, "orders", 3, 1)
        load = Load(self, "orders", brokers)
        for factor in (3, 2):
            self.until("records flow", load.flows(), *brokers)
            self.mesh("topic", "alter", "orders", "--set", f"replicas={factor}")
            self.until(f"{factor} replicas", self.at_rest(brokers[0], "orders", factor), *brokers, seconds=120)
        self.until("records flow", load.flows(), *brokers)
        load.finish(*brokers)

    def test_a_dead_broker_is_removed_and_replaced(self):
        brokers = self.begin(4, "orders", 6, 3)
        load = Load(self, "orders", brokers)
        self.until("records flow", load.flows(), *brokers)
        victim = brokers[3]
        gone = self.node_of(victim, brokers[0])
        victim.kill()
        self.until("it may be removed", lambda: self.mesh("remove", "b3", code=None).code == 0, *brokers)
        self.until("others have taken its place", lambda: self.at_rest(brokers[0], "orders", 3)() and gone not in self.hosted(brokers[0], "orders"), *brokers, seconds=120)
        self.until("records flow", load.flows(), *brokers)
        load.finish(*brokers)

    def test_a_broker_is_emptied_and_taken_out(self):
        brokers = self.begin(4, "orders", 6, 3)
        load = Load(self, "orders", brokers)
        leaving = self.node_of(brokers[3], brokers[0])
        self.assertGreater(self.hosted(brokers[0], "orders").get(leaving, 0), 0)
        self.until("records flow", load.flows(), *brokers)
        self.mesh("config", "set", "moves.per.broker=0", broker=brokers[1])
        self.mesh("drain", "b3", "--empty", "--no-wait", broker=brokers[1])
        brokers[3].kill()  # with all its replicas; it remembers what was asked of it, or it would keep them
        brokers[3].start()
        self.assertGreater(self.hosted(brokers[0], "orders").get(leaving, 0), 0)
        self.until("it is said", lambda: "still being emptied" in self.mesh("events", "--of", "b3", code=None, broker=brokers[0]).out.decode(), *brokers)
        self.until("replicas may move again", lambda: self.mesh("config", "set", "moves.per.broker=2", code=None, broker=brokers[1]).code == 0, *brokers)
        self.until("it keeps nothing", lambda: leaving not in self.hosted(brokers[0], "orders"), *brokers, seconds=180)
        told = self.mesh("drain", "b3", "--empty", "--timeout", "180s", "--json", broker=brokers[1]).json
        self.assertEqual((told["hosted"], told["led"], told["emptying"], told["drained"]), (0, 0, True, False))
        self.assertTrue(self.at_rest(brokers[0], "orders", 3)())
        self.until("its files are gone", lambda: not self.directories(brokers[3], "orders"), *brokers)
        self.assertEqual(brokers[3].stop(), 0)
        self.until("it may be removed", lambda: self.mesh("remove", "b3", code=None).code == 0, *brokers[:3])
        self.until("records flow", load.flows(), *brokers[:3])
        load.finish(*brokers[:3])

    def test_a_broker_whose_copies_nobody_else_could_keep_is_not_emptied(self):
        brokers = self.begin(3, "orders", 2, 3)
        refused = self.mesh("drain", "b1", "--empty", broker=brokers[0], code=None)
        self.assertEqual(refused.code, 1)
        self.assertRegex(refused.err.decode(), r"2 partitions of it cannot be kept by others, first orders/0: 3 copies are wanted, and 2 other brokers serve")
        self.assertFalse(self.mesh("drain", "b1", "--no-wait", "--undo", "--json", broker=brokers[0]).json["emptying"])
        self.mesh("topic", "alter", "orders", "--set", "replicas=2", broker=brokers[0])
        self.until("two copies of each", self.at_rest(brokers[0], "orders", 2), *brokers)
        self.assertEqual(self.mesh("drain", "b1", "--empty", "--timeout", "180s", "--json", broker=brokers[2]).json["hosted"], 0)
        self.assertTrue(os.path.exists(os.path.join(brokers[1].data, "emptying")))
        self.mesh("drain", "b1", "--undo", "--no-wait", broker=brokers[2])
        self.assertFalse(os.path.exists(os.path.join(brokers[1].data, "emptying")))

    def replicas(self, broker, topic, partition=0):
        return self.partitions(broker, topic)[partition]["replicas"]

    def test_a_move_outlives_its_source_its_target_and_its_coordinator(self):
        brokers = self.begin(5, "orders", 1, 3, "--set", "segment.bytes=1048576")
        load = Load(self, "orders", brokers)
        nodes = dict(zip(self.nodes_of(brokers), brokers))
        before = self.replicas(brokers[0], "orders")
        others = sorted(set(nodes) - set(before))
        wished = [*others, before[0]]
        self.until("records flow", load.flows(), *brokers)
        leader = self.partitions(brokers[0], "orders")[0]["leader"]
        source, target = nodes[leader], nodes[others[0]]
        asked = next(broker for broker in brokers if broker not in (source, target))
        target.process.send_signal(signal.SIGSTOP)  # the move cannot end before it was killed
        self.mesh("topic", "move", "orders/0", "--to", ",".join(map(str, wished)), "--no-wait", broker=asked, seconds=60)
        self.until("it has begun", lambda: any(d["adding"] for d in self.partitions(asked, "orders")[0]["details"]), *brokers)
        source.kill()
        self.until("another one leads", lambda: self.partitions(asked, "orders")[0]["leader"] not in (leader, -1), *brokers)
        self.assertTrue(any(d["adding"] for d in self.partitions(asked, "orders")[0]["details"]))
        source.start()
        coordinator = self.broker_of(brokers, self.status(asked)["coordinator"])
        for victim in {coordinator, target}:
            victim.kill()
            victim.start()
        self.until("it has moved", lambda: self.replicas(brokers[0], "orders") == wished and self.at_rest(brokers[0], "orders", 3)(), *brokers, seconds=120)
        self.until("records flow", load.flows(), *brokers)
        load.finish(*brokers)

    def test_moving_by_command(self):
        brokers = self.begin(3, "orders", 2, 1, options=())  # nothing is spread meanwhile
        self.mesh("produce", "orders", "--partition", 0, stdin=b"some\nrecords\n")
        self.mesh("topic", "alter", "orders", "--set", "replicas=1")
        facts = self.mesh("topic", "move", "orders", "--to", "b1,b2", "--json", code=None)
        self.assertEqual(facts.code, 1, str(facts))
        self.assertIn("replicas", facts.json["error"]["message"])
        done = self.mesh("topic", "move", "orders", "--to", "b1", "--json").json
        self.assertEqual(done["done"], True)
        node = self.node_of(brokers[1], brokers[0])
        self.assertEqual([self.replicas(brokers[0], "orders", i) for i in range(2)], [[node], [node]])
        self.assertEqual(self.mesh("topic", "move", "orders/0", "--to", node).out, b"")  # it is there: quiet in a pipe
        self.assertEqual(self.mesh("consume", "orders", "--until-end", broker=brokers[2]).out, b"some\nrecords\n")
        plan = self.mesh("topic", "balance", "orders", "--dry-run", "--json").json
        self.assertEqual([len(plan["moves"]), plan["done"], self.replicas(brokers[0], "orders", 1)], [1, False, [node]])
        self.assertEqual(self.mesh("topic", "balance", "orders", "--json").json["done"], True)
        self.assertNotEqual(self.replicas(brokers[0], "orders", 0), self.replicas(brokers[0], "orders", 1))
        for words, code in ((("orders/9", "--to", "b1"), 1), (("orders/0", "--to", "nobody"), 1), (("orders/0", "--cancel"), 1), (("orders/0",), 2),
                            (("orders/x", "--to", "b1"), 2), (("orders/0", "--to", "b1", "--cancel"), 2)):
            self.assertEqual(self.mesh("topic", "move", *words, code=None).code, code, words)

    def test_a_move_that_cannot_go_on_is_shown_and_taken_back(self):
        brokers = self.begin(4, "orders", 1, 3, "--set", "min.insync=2")
        before = self.replicas(brokers[0], "orders")
        nodes = dict(zip(self.nodes_of(brokers), brokers))
        target = next(node for node in nodes if node not in before)
        asked = next(broker for node, broker in nodes.items() if node == before[0])
        nodes[target].process.send_signal(signal.SIGSTOP)  # it copies nothing
        try:
            self.mesh("topic", "move", "orders/0", "--to", f"{target},{before[0]},{before[1]}", "--no-wait", broker=asked)
            terminal, its_end = os.openpty()
            watcher = self.spawn("topic", "move", "orders/0", "--to", f"{target},{before[1]},{before[0]}", "--json", stdout=-1, stderr=its_end,
                                 env=self.command_environment(asked))
            os.close(its_end)
            shown = b""
            while b"0 of 1 partition moved" not in shown:
                shown += os.read(terminal, 4096)
            self.until("it is seen", lambda: any(d["adding"] for d in self.partitions(asked, "orders")[0]["details"]), *brokers)
            self.assertEqual(self.status(asked)["partitions"]["moving"], 1)
            why = self.mesh("why", "orders/0", "--json", broker=asked).json
            self.assertRegex(why["placement"], "copied to|waits for its turn")
            self.assertIsNone(why["writes_blocked"])
            self.assertEqual(self.replicas(asked, "orders")[:3], [target, before[1], before[0]])  # the second wish holds
            watcher.send_signal(signal.SIGINT)
            while b"takes it back." not in shown:
                shown += os.read(terminal, 4096)
            os.close(terminal)
            self.assertIn(b"The move goes on.", shown)
            stopped = self.finish(watcher, code=128 + signal.SIGINT)
            self.assertEqual(stopped.json["done"], False)
            self.mesh("topic", "move", "orders/0", "--cancel", broker=asked)
            self.until("all is as before", lambda: sorted(self.replicas(asked, "orders")) == sorted(before) and self.at_rest(asked, "orders", 3)(), *brokers)
        finally:
            nodes[target].process.send_signal(signal.SIGCONT)


if __name__ == "__main__":
    main()

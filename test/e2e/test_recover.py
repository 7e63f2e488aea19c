#!/usr/bin/env python3
"""Brokers that are gone for good: most voters at once (mesh recover), or one (mesh remove). They are refused when they come back."""
import os
import pty
import shutil
import subprocess

from harness import main
from mesh_case import MeshCase

REFUSED = "removed from the mesh and came back: it is refused"


class Recover(MeshCase):
    def create(self, name, broker, **keywords):
        return self.mesh("topic", "create", name, "--partitions", "2", "--replicas", "1", "--json", broker=broker, **keywords)

    def recover(self, broker, lost, *options, **keywords):
        return self.mesh("recover", "--accept-loss-of", ",".join(lost), "--json", "--timeout", "60s", *options, broker=broker, **keywords)

    def recover_at_terminal(self, broker, lost, typed, code):
        """As recover(), by somebody who is asked at a terminal and types that."""
        terminal, end = pty.openpty()
        try:
            child = self.spawn("recover", "--accept-loss-of", ",".join(lost), "--json", "--timeout", "60s", stdin=end, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=self.command_environment(broker))
            os.write(terminal, typed)
            return self.finish(child, code)
        finally:
            os.close(end)
            os.close(terminal)

    def wait_dead(self, broker, *names):
        def states():
            return {member["name"]: member["state"] for member in self.mesh("members", "--json", broker=broker).json["members"]}
        self.until(f"{names} are not called dead", lambda: all(states().get(name, "dead") in ("dead", "left") for name in names), broker)

    def wait_no_coordinator(self, broker):
        self.until("it believes in a coordinator", lambda: self.status(broker)["coordinator"] is None, broker)

    def refused(self, broker, words):
        """It does not become ready, or ends soon, and says why."""
        broker.lines = []
        broker.launch()
        self.assertNotEqual(broker.wait(), 0, broker.log())
        self.assertIn(words, broker.log())

    def test_one_of_three_goes_on_alone_and_the_others_are_refused_when_they_come_back(self):
        brokers = self.launch_together(3)
        self.wait_coordinator(brokers)
        self.create("before", brokers[0])
        self.until("not everybody knows the topic", lambda: all("before" in self.topics(broker) for broker in brokers), *brokers)
        alive = self.recover(brokers[0], ["b1", "b2"], "--yes", code=1).json
        self.assertIn("is alive", alive["objection"])
        for broker in brokers[1:]:
            broker.kill()
        self.wait_dead(brokers[0], "b1", "b2")
        self.wait_no_coordinator(brokers[0])
        remedies = " ".join(problem["remedy"] for problem in self.status(brokers[0])["problems"])
        self.assertIn("mesh recover --accept-loss-of", remedies)
        self.assertEqual(self.create("never", brokers[0], code=None).code, 1)
        self.assertEqual(self.recover(brokers[0], ["b1", "b2"], code=None).code, 2)  # there is no terminal to ask at
        self.assertIn("more than half", self.recover(brokers[0], ["b1"], "--yes", code=1).json["objection"])
        for typed in (b"no\n", b"y\n", b"\n", b"\x04"):  # the last one: the end of what is typed
            refused = self.recover_at_terminal(brokers[0], ["b1", "b2"], typed, 1)
            self.assertIn(b"Type yes: ", refused.err)
            self.assertIn(b"Nothing was given up.", refused.err)
        self.assertIsNone(self.status(brokers[0])["coordinator"])
        done = self.recover_at_terminal(brokers[0], ["b1", "b2"], b"yes\n", 0).json
        self.assertTrue(done["done"])
        self.assertEqual((done["history"], len(done["lost"])), (1, 2))
        self.until("it does not coordinate", lambda: self.status(brokers[0])["coordinator"] is not None, brokers[0])
        self.create("after", brokers[0])
        self.assertIn(b"was removed already", self.recover(brokers[0], [done["lost"][0]], "--yes", code=1).err)
        for broker in brokers[1:]:
            broker.launch()  # both at once: a majority of what was
        for broker in brokers[1:]:
            self.assertNotEqual(broker.wait(), 0, broker.log())
            self.assertIn("the mesh was recovered without this broker", broker.log())
        self.assertIsNotNone(brokers[0].wait_line(REFUSED), brokers[0].log())
        self.refused(brokers[1], "the mesh was recovered without this broker")  # it knows by itself now
        shutil.rmtree(brokers[2].data)
        fresh = self.start_broker(brokers[2].data, seeds=[brokers[0].address], options=["--name", "b2"])
        self.until("the new one does not know the topics", lambda: self.topics(fresh) == {"before", "after"}, fresh, brokers[0])

    def test_a_broker_that_is_gone_is_removed_and_refused_when_it_comes_back(self):
        brokers = self.launch_together(3)
        self.wait_coordinator(brokers)
        self.create("orders", brokers[0])
        gone = brokers[2]
        asked = brokers[0]
        self.assertIn(b"is alive", self.mesh("remove", "b2", broker=asked, code=1).err)
        self.assertIn(b"has no broker called 'nobody'", self.mesh("remove", "nobody", broker=asked, code=1).err)
        gone.kill()
        self.wait_dead(asked, "b2")
        self.until("it is not fenced", lambda: {b["name"]: b["state"] for b in self.status(asked)["brokers"]}.get("b2") == "fenced", *brokers)
        hosted = self.mesh("remove", "b2", "--json", broker=asked, code=None)
        if hosted.code != 0:  # it had the only copy of a partition
            self.assertIn(b"say that the loss is accepted", hosted.err)
            hosted = self.mesh("remove", "b2", "--accept-loss", "--json", broker=asked)
        self.assertEqual(hosted.json["name"], "b2")
        self.assertEqual({b["name"] for b in self.status(asked)["brokers"]}, {"b0", "b1"})
        self.assertIn(b"was removed already", self.mesh("remove", hosted.json["removed"], broker=asked, code=1).err)
        self.until("it still votes", lambda: "b2" not in {v["name"] for v in self.status(asked)["voters"]} and
                   all("removed" not in v["name"] for v in self.status(asked)["voters"]), *brokers[:2])
        self.refused(gone, "this broker was removed from the mesh")
        self.refused(gone, "this broker was removed from the mesh")
        self.create("more", brokers[1])


if __name__ == "__main__":
    main()

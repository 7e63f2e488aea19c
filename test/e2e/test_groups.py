#!/usr/bin/env python3
"""Consumer groups on one broker, by the commands that people have: sharing, leaving, coming back, resets, patterns."""
import signal

from harness import main
from mesh_case import MeshCase


class Groups(MeshCase):
    def setUp(self):
        super().setUp()
        self.start_broker()

    def numbers(self, *bounds):
        return b"".join(b"%d\n" % number for number in range(*bounds))

    def produce(self, topic, *bounds):
        self.mesh("produce", topic, stdin=self.numbers(*bounds))

    def produce_to_each(self, topic, partitions, first, last):
        for partition in range(partitions):
            self.mesh("produce", topic, "--partition", partition, stdin=self.numbers(first + partition, last, partitions))

    def join(self, topic, *words, group="g"):
        """A member that writes what it reads to a file; returns it and the file's path."""
        path = self.path(f"out-{len(self.children)}")
        with open(path, "wb") as file:
            child = self.spawn("consume", topic, "--group", group, *words, stdout=file, stderr=-1)
        return child, path

    def read(self, *paths):
        lines = []
        for path in paths:
            with open(path, "rb") as file:
                lines += [int(line) for line in file.read().splitlines()]
        return lines

    def describe(self, group="g", code=0):
        return self.mesh("group", "describe", group, "--json", code=code).json

    def shares(self, group="g"):
        names = self.mesh("group", "list", "--names").out.decode().split()
        return sorted(member["partitions"] for member in self.describe(group)["members"]) if group in names else []

    def committed(self, group="g"):
        return sum(row["committed"] or 0 for row in self.describe(group)["offsets"])

    def leave(self, child):
        """In good order: what was written out is committed, and the others have its partitions at once."""
        child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=60)[1]
        self.assertEqual(child.returncode, 128 + signal.SIGINT, said.decode())

    def test_members_share_and_those_who_stay_take_over(self):
        self.mesh("topic", "create", "orders", "--partitions", "4")
        self.produce("orders", 0, 100)
        a, a_out = self.join("orders")
        self.until("the first has everything", lambda: self.shares() == [4], self.broker)
        self.until("it reads everything", lambda: len(self.read(a_out)) == 100, self.broker)
        b, b_out = self.join("orders")
        self.until("two share", lambda: self.shares() == [2, 2], self.broker)
        self.produce_to_each("orders", 4, 100, 300)
        self.until("both read", lambda: len(self.read(a_out, b_out)) == 300, self.broker)
        self.assertEqual(sorted(self.read(a_out, b_out)), list(range(300)))
        self.assertEqual(len(self.read(b_out)), 100, "two partitions of four")
        self.leave(a)
        self.until("the other has everything", lambda: self.shares() == [4], self.broker)
        self.produce("orders", 300, 400)
        self.until("it reads", lambda: len(self.read(a_out, b_out)) == 400, self.broker)
        self.leave(b)
        self.assertEqual(sorted(self.read(a_out, b_out)), list(range(400)))
        self.until("nobody is left", lambda: self.describe()["state"] == "empty", self.broker)
        self.assertEqual(self.committed(), 400)
        late = self.mesh("consume", "orders", "--group", "g", "--timeout", "2s", code=4)
        self.assertEqual(late.out, b"", "all of it was handled")

    def test_a_static_member_that_is_killed_comes_back_to_its_partitions(self):
        self.mesh("topic", "create", "orders", "--partitions", "4")
        a, _ = self.join("orders", "--instance", "one")
        b, _ = self.join("orders", "--instance", "two")
        self.until("two share", lambda: self.shares() == [2, 2], self.broker)
        before = self.describe()
        a.kill()
        a.wait()
        again, out = self.join("orders", "--instance", "one")
        self.produce_to_each("orders", 4, 0, 200)
        self.until("the next life reads", lambda: len(self.read(out)) > 0, self.broker)
        after = self.describe()
        self.assertEqual(after["generation"], before["generation"], "nothing was assigned anew")
        self.leave(b)
        self.leave(again)

    def test_in_broadcast_everybody_gets_everything(self):
        words = ("--group", "g", "--broadcast", "--instance")
        self.produce("orders", 0, 50)
        for instance in ("one", "two"):
            self.assertEqual(self.mesh("consume", "orders", *words, instance, "--count", "50").out, self.numbers(50))
        self.produce("orders", 50, 60)
        self.assertEqual(self.mesh("consume", "orders", *words, "two", "--count", "10").out, self.numbers(50, 60))
        self.assertEqual([self.committed(name) for name in ("g/one", "g/two")], [50, 60])

    def test_offsets_are_set_and_groups_forgotten(self):
        self.produce("orders", 0, 50)
        self.assertEqual(len(self.mesh("consume", "orders", "--group", "g", "--count", "50").out.splitlines()), 50)
        self.until("it is committed", lambda: self.committed() == 50, self.broker)
        self.mesh("group", "reset", "g", "--topic", "orders", "--to", "earliest", "--dry-run")
        self.assertEqual(self.committed(), 50, "a dry run changes nothing")
        self.mesh("group", "reset", "g", "--topic", "orders", "--to", "offset:20", "--yes")
        self.assertEqual(self.committed(), 20)
        self.assertEqual(self.mesh("consume", "orders", "--group", "g", "--count", "30").out, self.numbers(20, 50))
        self.mesh("group", "reset", "g", "--topic", "orders", "--to", "shift:-5", "--yes")
        member, out = self.join("orders")
        self.until("it goes on from there", lambda: self.read(out) == list(range(45, 50)), self.broker)
        self.mesh("group", "reset", "g", "--topic", "orders", "--to", "earliest", "--yes", code=1)
        self.mesh("group", "delete", "g", code=1)
        self.mesh("group", "reset", "g", "--topic", "orders", "--to", "earliest", "--force", "--yes")
        self.until("it goes on from the beginning", lambda: self.read(out) == list(range(45, 50)) + list(range(50)), self.broker)
        self.until("and commits that", lambda: self.committed() == 50, self.broker)
        self.leave(member)
        self.mesh("group", "delete", "g")
        self.assertEqual(self.mesh("group", "list", "--json").json["groups"], [])
        self.mesh("group", "describe", "g", code=1)

    def test_a_pattern_takes_in_topics_that_come_later(self):
        self.produce("log-a", 0, 10)
        self.produce("other", 100, 110)
        member, out = self.join("log-.*", "--pattern")
        self.until("it reads what fits", lambda: len(self.read(out)) == 10, self.broker)
        self.produce("log-b", 10, 20)
        self.until("it reads what came later", lambda: len(self.read(out)) == 20, self.broker)
        self.assertEqual(sorted(self.read(out)), list(range(20)))
        self.leave(member)

    def test_offsets_that_nobody_uses_are_forgotten_and_those_of_members_stay(self):
        self.broker.stop()
        self.start_broker(self.path("other"), options=["--set", "groups.retention.ms=1000"])
        self.produce("orders", 0, 10)
        self.produce("parcels", 0, 10)
        member, out = self.join("orders")
        self.until("it commits", lambda: self.read(out) == list(range(10)) and self.committed() == 10, self.broker)
        self.mesh("consume", "parcels", "--group", "other", "--count", "10")
        self.mesh("consume", "parcels", "--group", "g", "--count", "10")  # a member for a moment
        self.until("nobody is in the other group any more", lambda: self.mesh("group", "list", "--names").out.split() == [b"g"], self.broker)
        self.until("of the topic that nobody consumes nothing is left", lambda: {row["topic"] for row in self.describe()["offsets"]} == {"orders"}, self.broker)
        self.assertEqual(self.committed(), 10)
        self.produce("orders", 10, 20)
        self.until("the member has lost nothing", lambda: self.read(out) == list(range(20)), self.broker)
        self.leave(member)
        self.until("it is gone, too", lambda: self.mesh("group", "list", "--names").out == b"", self.broker)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The commands about consumer groups: what they print, what scripts rely on, and what is refused."""
import subprocess
import time

from harness import Case, main

LINES = b"".join(b"%d\n" % i for i in range(400))


class GroupCommands(Case):
    def setUp(self):
        super().setUp()
        self.start_broker()
        self.mesh("topic", "create", "orders", "--partitions", "4")
        for partition in range(4):
            self.mesh("produce", "orders", "--partition", str(partition), stdin=LINES)

    def refuse(self, name, *words, said=b""):
        result = self.mesh(*words, "--json", code=1)
        self.assertEqual(result.json["error"]["name"], name, str(result))
        self.assertIn(said, result.err)

    def consume(self, group, count, *words):
        return self.mesh("consume", "orders", "--group", group, "--count", str(count), *words).out.splitlines()

    def test_a_group_goes_on_where_it_stands(self):
        self.assertEqual(self.mesh("group", "list", "--json").json, {"groups": []})
        self.assertEqual(self.mesh("group", "lag", "--json").json, {"groups": []})
        lines = self.consume("billing", 700) + self.consume("billing", 1) + self.consume("billing", 899)
        self.assertEqual(sorted(lines), sorted(LINES.splitlines() * 4))
        self.assertEqual([g["group"] for g in self.mesh("group", "list", "--json").json["groups"]], ["billing"])
        group = self.mesh("group", "describe", "billing", "--json").json
        self.assertLessEqual({"group", "state", "coordinator", "members", "offsets"}, set(group))
        self.assertEqual((group["state"], group["members"]), ("empty", []))
        self.assertEqual([(o["topic"], o["partition"], o["committed"], o["high_watermark"], o["lag"]) for o in group["offsets"]],
                         [("orders", p, 400, 400, 0) for p in range(4)])
        self.assertEqual(self.mesh("group", "lag", "billing", "--json").json["groups"][0]["lag"], 0)
        self.mesh("produce", "orders", "--partition", "2", stdin=b"new\n")
        self.assertEqual(self.consume("billing", 1), [b"new"])

    def test_members_are_seen_while_they_are_there(self):
        child = self.spawn("consume", "orders", "--group", "billing", "--instance", "one", "--count", "1610", "--timeout", "20", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        begin = time.monotonic()
        while time.monotonic() < begin + 30:  # it commits every five seconds
            groups = self.mesh("group", "list", "--json").json["groups"]
            if groups and self.mesh("group", "lag", "billing", "--json").json["groups"][0]["lag"] == 0 and groups[0]["offsets"] == 4:
                break
        group = self.mesh("group", "describe", "billing", "--json").json
        self.assertEqual([(m["instance"], m["client"], m["partitions"]) for m in group["members"]], [("one", "mesh-cli", 4)])
        self.assertEqual({o["owner"] for o in group["offsets"]}, {group["members"][0]["member"]})
        self.assertIn(b"one", self.mesh("group", "describe", "billing").out)
        self.refuse("GROUP_NOT_EMPTY", "group", "reset", "billing", "--topic", "orders", "--to", "earliest", "--yes", said=b"--force")
        self.refuse("GROUP_NOT_EMPTY", "group", "delete", "billing")
        self.mesh("group", "reset", "billing", "--topic", "orders", "--partition", "1", "--to", "offset:390", "--force", "--yes")
        lines = self.finish(child).out.splitlines()
        self.assertEqual(sorted(lines), sorted(LINES.splitlines() * 4 + LINES.splitlines()[390:]))

    def test_resets(self):
        self.consume("billing", 1600)
        for to, offset in (("earliest", 0), ("latest", 400), ("offset:17", 17), ("shift:-7", 10), ("shift:-100", 0), ("shift:1000", 400), ("time:-1h", 0)):
            with self.subTest(to):
                before = [o["committed"] for o in self.mesh("group", "describe", "billing", "--json").json["offsets"]]
                words = ("group", "reset", "billing", "--topic", "orders", "--to", to, "--json")
                dry = self.mesh(*words, "--dry-run").json
                self.assertEqual((dry["done"], [o["before"] for o in dry["offsets"]]), (False, before))
                done = self.mesh(*words, "--yes").json
                self.assertEqual((done["done"], [o["after"] for o in done["offsets"]]), (True, [offset] * 4))
                now = self.mesh("group", "describe", "billing", "--json").json["offsets"]
                self.assertEqual([o["committed"] for o in now], [offset] * 4)
        self.refuse("OFFSET_OUT_OF_RANGE", "group", "reset", "billing", "--topic", "orders", "--to", "offset:401", "--yes")
        self.refuse("NOTFOUND", "group", "reset", "nobody", "--topic", "orders", "--to", "earliest", "--yes")
        self.refuse("UNKNOWN_TOPIC", "group", "reset", "billing", "--topic", "nothing", "--to", "earliest", "--yes")
        self.mesh("group", "reset", "billing", "--topic", "orders", "--to", "somewhere", code=2)
        self.mesh("group", "reset", "billing", "--topic", "orders", "--to", "earliest", code=2)  # nobody to ask

    def test_forgetting(self):
        self.consume("billing", 1600)
        self.assertEqual(self.mesh("group", "delete", "billing", "--topic", "orders", "--json").json, {"group": "billing", "deleted": True})
        self.assertEqual(self.mesh("group", "delete", "billing", "--if-exists", "--json").code, 0)
        self.refuse("NOTFOUND", "group", "describe", "billing")
        self.assertEqual(self.mesh("group", "list", "--names").out, b"")

    def test_words_that_have_no_meaning_together(self):
        for words in (("--group", "g", "--partition", "1"), ("--group", "g", "--until-end"), ("--group", "g", "--from", "offset:3"), ("--instance", "i"),
                      ("--pattern",), ("--broadcast",), ("--group", "g", "--broadcast")):
            with self.subTest(words):
                self.mesh("consume", "orders", *words, code=2)

    def test_a_pattern(self):
        self.mesh("topic", "create", "orders-eu")
        self.mesh("produce", "orders-eu", stdin=b"eu\n")
        lines = self.mesh("consume", "orders-.*", "--pattern", "--group", "eu", "--count", "1").out
        self.assertEqual(lines, b"eu\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Topics and status: what may be created, what is refused, and the keys that scripts rely on."""
import re

from harness import Case, main

UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")


class Topics(Case):
    def setUp(self):
        super().setUp()
        self.start_broker()

    def refuse(self, name, *words, said=b"", stdin=b""):
        result = self.mesh(*words, "--json", stdin=stdin, code=1)
        self.assertEqual(result.json["error"]["name"], name, str(result))
        self.assertIn(said, result.err)
        return result

    def test_life_of_a_topic(self):
        self.assertEqual(self.mesh("topic", "list", "--json").json, {"topics": []})
        self.assertEqual(self.mesh("topic", "create", "orders", "--partitions", "3", "--set", "retention.ms=3600000", "--json").json,
                         {"name": "orders", "created": True})
        topic = self.mesh("topic", "describe", "orders", "--json").json
        self.assertEqual(topic["name"], "orders")
        self.assertRegex(topic["id"], UUID)
        self.assertEqual(topic["configs"]["retention.ms"], "3600000")
        self.assertEqual(topic["configs_set"], ["retention.ms"])
        self.assertEqual([p["partition"] for p in topic["partitions"]], [0, 1, 2])
        for partition in topic["partitions"]:
            self.assertLessEqual({"partition", "leader", "leader_epoch", "replicas", "isr", "high_watermark", "log_start"}, set(partition))
            self.assertEqual((partition["high_watermark"], partition["log_start"], partition["problem"]), (0, 0, None))
            self.assertEqual(partition["replicas"], [partition["leader"]])
            self.assertEqual(partition["isr"], [partition["leader"]])
        self.assertEqual(self.mesh("topic", "list", "--names").out, b"orders\n")
        self.mesh("topic", "alter", "orders", "--partitions", "5", "--set", "flush=async", "--unset", "retention.ms")
        topic = self.mesh("topic", "describe", "orders", "--json").json
        self.assertEqual((len(topic["partitions"]), topic["configs"]["flush"], topic["configs_set"]), (5, "async", ["flush"]))
        self.mesh("topic", "delete", "orders")
        self.refuse("UNKNOWN_TOPIC", "topic", "describe", "orders", said=b"mesh topic list")
        self.assertEqual(self.mesh("topic", "list", "--json").json, {"topics": []})

    def test_tables_line_up(self):
        self.mesh("topic", "create", "a", "--partitions", "12")
        self.mesh("produce", "a-longer-name", stdin=b"x\n" * 1234)
        rows = self.mesh("topic", "list").out.decode().splitlines()
        self.assertEqual(rows[0].split(), ["TOPIC", "PARTITIONS", "RECORDS", "STORED", "STATE"])
        self.assertEqual({row.index("ok") for row in rows[1:]}, {rows[0].index("STATE")})
        self.assertIn("1,234", rows[2])
        self.assertNotIn("\033", "".join(rows))
        described = self.mesh("topic", "describe", "a").out.decode()
        self.assertIn("12 partitions", described)
        self.assertIn("CONFIGURATION", described)

    def test_names_that_are_refused(self):
        for name in ("", ".", "..", "a/b", "../up", "/etc", "a b", "caf\u00e9", "a\nb", "x" * 250, "semi;colon", "nul%00", "a\\b", "*"):
            with self.subTest(name):
                result = self.mesh("topic", "create", "--json", "--", name, code=1)
                self.assertEqual(result.json["error"]["name"], "INVALID_TOPIC", str(result))
        for name in ("x" * 249, "a.b_c-D9", "-dash", "..."):
            self.mesh("topic", "create", "--", name)
        self.assertEqual(len(self.mesh("topic", "list", "--json").json["topics"]), 4)

    def test_duplicates_and_case_twins(self):
        self.mesh("topic", "create", "orders")
        self.refuse("TOPIC_EXISTS", "topic", "create", "orders", said=b"--if-absent")
        self.refuse("TOPIC_EXISTS", "topic", "create", "Orders")
        self.assertEqual(self.mesh("topic", "create", "orders", "--if-absent", "--json").json, {"name": "orders", "created": False})
        self.refuse("UNKNOWN_TOPIC", "topic", "delete", "absent")
        self.assertEqual(self.mesh("topic", "delete", "absent", "--if-exists", "--json").json, {"name": "absent", "deleted": False})

    def test_configurations_that_are_refused(self):
        for pair in ("flush=sometimes", "no.such.key=1", "retention.ms=soon", "segment.bytes=-5", "max.batch.bytes=99999999999999"):
            with self.subTest(pair):
                self.refuse("INVALID_CONFIG", "topic", "create", "t", "--set", pair)
        self.refuse("INVALID_REPLICATION", "topic", "create", "t", "--replicas", "300")
        self.assertEqual(self.mesh("topic", "list", "--json").json, {"topics": []})
        self.mesh("topic", "create", "t", "--partitions", "4")
        self.refuse("INVALID_PARTITIONS", "topic", "alter", "t", "--partitions", "2")
        self.refuse("INVALID_CONFIG", "topic", "alter", "t", "--set", "flush=never")
        self.refuse("UNKNOWN_TOPIC", "topic", "alter", "absent", "--partitions", "2")

    def test_unknown_topics_are_told(self):
        self.refuse("UNKNOWN_TOPIC", "produce", "absent", "--no-create", stdin=b"x\n")
        self.mesh("consume", "absent", "--until-end", code=1)
        self.mesh("topic", "create", "there", "--partitions", "2")
        result = self.mesh("consume", "there", "--partition", "2", "--until-end", code=1)
        self.assertIn(b"there is no such partition", result.err)
        result = self.refuse("INVAL", "produce", "there", "--partition", "2", stdin=b"x\n")
        self.assertEqual(result.json["error"]["message"], "there is no partition 2; the topic has 2, from 0 on")
        self.assertEqual(self.mesh("topic", "list", "--names").out, b"there\n")

    def test_record_over_the_limit_is_refused_and_the_rest_kept(self):
        self.mesh("topic", "create", "small", "--set", "max.batch.bytes=65536")
        result = self.mesh("produce", "small", "--json", stdin=b"fits\n" + b"x" * 3_000_000 + b"\nafter\n", code=1)
        self.assertEqual(result.json["error"]["name"], "TOOLARGE", str(result))
        self.assertEqual(self.mesh("consume", "small", "--until-end").out, b"fits\n")
        self.assert_serves()

    def test_status(self):
        self.mesh("topic", "create", "a", "--partitions", "7")
        status = self.mesh("status", "--json").json
        self.assertLessEqual({"cluster", "coordinator", "brokers", "partitions", "problems"}, set(status))
        self.assertRegex(status["cluster"], UUID)
        self.assertEqual(status["partitions"], {"total": 7, "under_replicated": 0, "offline": 0, "at_risk": 0, "moving": 0, "queued": 0})
        self.assertEqual(status["problems"], [])
        self.assertEqual(len(status["brokers"]), 1)
        self.assertEqual(status["brokers"][0]["broker"], status["coordinator"])
        self.assertEqual(status["brokers"][0]["address"], self.broker.address)
        text = self.mesh("status").out.decode()
        self.assertTrue(text.startswith("healthy\n"), text)
        self.assertIn(self.broker.address, text)

    def test_first_reachable_of_several_brokers_is_enough(self):
        brokers = f"127.0.0.1:1,no-such-host.invalid:9,{self.broker.address}"
        self.assertEqual(self.mesh("status", "--json", "--broker", brokers).json["problems"], [])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""mesh bench: that it measures what it says; not how fast this machine is."""
from harness import Case, main


class Bench(Case):
    def setUp(self):
        super().setUp()
        self.start_broker()

    def bench(self, *words):
        facts = self.mesh("bench", *words, "--json", "--ready-file", self.path("data", "ready.json")).json
        self.assertEqual((facts["failed"], facts["unknown"]), (0, 0))
        self.assertGreater(facts["seconds"], 0)
        self.assertAlmostEqual(facts["records_per_second"], facts["records"] / facts["seconds"], delta=facts["records_per_second"] / 100 + 1)
        self.assertGreaterEqual(facts["client_cpu"]["seconds"], 0)
        self.assertGreaterEqual(facts["broker_cpu"]["seconds"], 0)
        self.assertEqual(self.mesh("topic", "list", "--json").json, {"topics": []}, "temporary topics are gone")
        return facts

    def assert_ordered(self, latency):
        figures = [latency[key] for key in ("min", "p50", "p90", "p99", "p99_9", "max")]
        self.assertEqual(figures, sorted(figures))
        self.assertGreater(figures[0], 0)

    def test_groups_commit(self):
        facts = self.bench("groups", "--groups", "2", "--partitions", "10", "--records", "1000", "--seconds", "30")
        self.assertGreaterEqual(facts["records"], 1000)
        self.assertEqual(facts["records"] % 10, 0, "each commit has all partitions")
        self.assert_ordered(facts["latency_us"])
        self.assertEqual(self.mesh("group", "list", "--json").json["groups"], [], "temporary groups are gone")

    def test_produce_flat_out(self):
        facts = self.bench("produce", "--records", "50000", "--record-size", "100", "--partitions", "4", "--warm-up", "1000")
        self.assertEqual((facts["records"], facts["bytes"], facts["replicas_synced"]), (50000, 5_000_000, 1))
        self.assertGreater(facts["latency_us"]["samples"], 500)
        self.assert_ordered(facts["latency_us"])

    def test_produce_on_a_schedule(self):
        facts = self.bench("produce", "--rate", "2000", "--seconds", "2", "--batch-records", "1", "--record-size", "100", "--flush", "async")
        self.assertAlmostEqual(facts["records"], 4000, delta=200)
        self.assertEqual(facts["latency_us"]["samples"], facts["records"])
        self.assert_ordered(facts["latency_us"])

    def test_produce_variants(self):
        for words in (["--acks", "1", "--compression", "zstd", "--payload", "text"], ["--no-idempotence", "--in-flight", "50", "--batch-records", "1"],
                      ["--partitioner", "round-robin", "--partitions", "10"], ["--record-size", "0"], ["--payload", "zero", "--compression", "lz4"]):
            with self.subTest(words):
                self.assertEqual(self.bench("produce", "--records", "2000", *words)["records"], 2000)

    def test_consume(self):
        facts = self.bench("consume", "--records", "20000", "--record-size", "500", "--warm-up", "--partitions", "3")
        self.assertEqual((facts["records"], facts["bytes"]), (20000, 10_000_000))

    def test_latency(self):
        facts = self.bench("latency", "--records", "300", "--warm-up", "10")
        self.assertEqual((facts["records"], facts["latency_us"]["samples"]), (300, 300))
        self.assert_ordered(facts["latency_us"])
        self.assert_ordered(self.bench("latency", "--records", "100", "--warm-up", "10", "--end-to-end")["latency_us"])

    def test_a_topic_of_ones_own_stays(self):
        self.mesh("topic", "create", "mine")
        self.mesh("bench", "produce", "--topic", "mine", "--records", "1000", "--record-size", "10")
        self.assertEqual(self.mesh("topic", "list", "--names").out, b"mine\n")
        facts = self.mesh("bench", "consume", "--topic", "mine", "--json").json
        self.assertEqual((facts["records"], facts["bytes"]), (1000, 10000))
        self.mesh("bench", "produce", "--topic", "absent", code=1)

    def test_people_get_text(self):
        text = self.mesh("bench", "produce", "--records", "1000", "--broker-pid", self.broker.pid).out.decode()
        for word in ("produce", "records/s", "p99.9", "client", "broker", "durability"):
            self.assertIn(word, text)


if __name__ == "__main__":
    main()

"""The documentation's example programs, against a real broker: what produce sends, consume prints."""
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "e2e"))
import harness  # noqa: E402

PRODUCE, CONSUME, GROUP, POOL = (os.environ["EXAMPLE_" + name] for name in ("PRODUCE", "CONSUME", "GROUP", "POOL"))
LINES = "".join(f"line {i}\n" for i in range(20000)).encode()


class Examples(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.broker = harness.Broker(os.path.join(self.folder.name, "data")).start()

    def tearDown(self):
        self.broker.kill()
        self.folder.cleanup()

    def run_program(self, words, data=b""):
        env = harness.environment({"MESH_BROKER": self.broker.address})
        done = subprocess.run(words, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout

    def test_what_produce_sends_consume_prints(self):
        self.run_program([harness.MESH, "topic", "create", "orders", "--partitions", "1", "--broker", self.broker.address])
        self.assertEqual(self.run_program([PRODUCE, "orders"], LINES), b"20000 delivered, 0 failed, 0 unknown\n")
        self.assertEqual(self.run_program([CONSUME, "orders", "20000"]), LINES)

    def test_a_group_goes_on_where_it_stands(self):
        self.run_program([harness.MESH, "topic", "create", "orders", "--partitions", "1", "--broker", self.broker.address])
        self.run_program([PRODUCE, "orders"], LINES)
        parts = [self.run_program([GROUP, "orders", "billing", count]) for count in ("3000", "1", "16999")]
        self.assertEqual(b"".join(parts), LINES)

    def test_a_pool_handles_each_partition_in_order(self):
        self.run_program([harness.MESH, "topic", "create", "orders", "--partitions", "4", "--broker", self.broker.address])
        for partition in range(4):
            self.run_program([harness.MESH, "produce", "orders", "--partition", str(partition), "--broker", self.broker.address], LINES)
        lines = self.run_program([POOL, "orders", "billing", "80000"]).splitlines(keepends=True)
        for partition in range(4):
            self.assertEqual(b"".join(line.split(b" ", 1)[1] for line in lines if line.startswith(b"%d " % partition)), LINES)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""A disk that is full: refused before it hurts, said plainly, and nothing acknowledged is lost. Needs a tmpfs of its own."""
import os
import subprocess

from harness import Case, main


SMALL = ["--set", "disk.free.bytes.min=16777216", "--set", "journal.bytes.max=67108864"]


class FullDisk(Case):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("disk"))
        if os.geteuid() != 0:
            self.skipTest("only root may mount a tmpfs")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=192m", "tmpfs", self.path("disk")], capture_output=True, text=True)
        if done.returncode != 0:
            self.skipTest(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")

        self.addCleanup(self.unmount)

    def tearDown(self):
        failures = []
        for broker in self.brokers:  # before the disk goes; tearDown of all would come too late
            try:
                if broker.process.poll() is None:
                    broker.stop()
            except AssertionError as failure:
                failures.append(str(failure))
        self.unmount()
        super().tearDown()
        self.assertEqual(failures, [])

    def unmount(self):
        if os.path.ismount(self.path("disk")):
            subprocess.run(["umount", self.path("disk")], check=True)

    def fill(self, topic):
        """Produces until the disk refuses; returns the facts of the command that was refused."""
        chunk = b"".join(b"%0999d\n" % n for n in range(16_000))  # 16 MB
        for _ in range(40):
            result = self.mesh("produce", topic, "--json", "--timeout", "3s", stdin=chunk, code=None)
            if result.code != 0 and result.json["error"]["name"] != "TIMEOUT":  # the machine may be slow
                return result
        self.fail("the disk never got full")

    def test_nobody_begins_on_a_full_disk(self):
        """A start that would come to a stop half way makes nothing; elsewhere, or with room, it goes on."""
        data = self.path("disk", "some", "data")
        os.mkdir(self.path("disk", "some"))
        with open(self.path("disk", "filler"), "wb") as filler:
            filler.write(bytes((192 << 20) - (64 << 10)))
        refused = self.mesh("serve", "--data", data, "--listen", "127.0.0.1:0", code=1)
        lines = refused.err.decode().splitlines()
        self.assertEqual(len(lines), 1, refused.err)
        for said in ("KiB free", "--data", data):
            self.assertIn(said, lines[0])
        self.assertEqual(os.listdir(self.path("disk", "some")), [])
        os.unlink(self.path("disk", "filler"))
        broker = self.start_broker(data, options=SMALL)
        self.mesh("produce", "kept", stdin=b"kept\n")
        broker.stop()
        with open(self.path("disk", "filler"), "wb") as filler, self.assertRaises(OSError):
            filler.write(bytes(192 << 20))
        broker.launch()  # not a byte is left: each life has a number, which has to be written down
        self.assertEqual(broker.wait(), 1)
        self.assertIn("free some space", broker.log())
        os.unlink(self.path("disk", "filler"))
        broker.start()
        self.assertEqual(self.mesh("consume", "kept", "--until-end").out, b"kept\n")

    def test_full_disk_refuses_and_recovers(self):
        broker = self.start_broker(self.path("disk", "data"), options=SMALL + ["--shards", "1"])
        self.mesh("topic", "create", "keep", "--set", "segment.bytes=8388608")
        self.mesh("topic", "create", "fill", "--set", "segment.bytes=8388608")
        self.mesh("produce", "keep", stdin=b"kept\n" * 1000)
        refused = self.fill("fill")
        self.assertEqual(refused.code, 1, str(refused))
        self.assertIn(refused.json["error"]["name"], ("FULL", "STORAGE"), str(refused))
        self.assertEqual(self.mesh("consume", "keep", "--until-end").out, b"kept\n" * 1000)
        before = self.mesh("topic", "describe", "fill", "--json").json["partitions"][0]["high_watermark"]
        out = self.mesh("consume", "fill", "--until-end").out
        self.assertEqual(len(out), before * 1000)
        self.assertGreater(before, 16_000)
        problems = self.mesh("status", "--json").json["problems"]
        self.assertTrue(problems, "status names the full disk")
        self.mesh("topic", "delete", "fill")
        self.mesh("produce", "keep", "--timeout", "60s", stdin=b"after\n")
        self.assertEqual(self.mesh("consume", "keep", "--from", "offset:-1", "--until-end").out, b"after\n")
        self.assertEqual(broker.stop(), 0, broker.log())
        broker.start()
        self.assertEqual(self.mesh("consume", "keep", "--until-end").out, b"kept\n" * 1000 + b"after\n")

    def take_all_space(self):
        """Somebody else does; returns the path of what he has it in."""
        path = self.path("disk", "filler")
        with open(path, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 65536)
            except OSError:
                pass
        return path

    def test_space_that_others_took_and_gave_back_needs_no_restart(self):
        broker = self.start_broker(self.path("disk", "data"), options=SMALL + ["--shards", "1"])
        chunk = b"".join(b"%0999d\n" % n for n in range(8_000))  # 8 MB
        topics = ("group", "async")
        self.mesh("topic", "create", "group", "--set", "segment.bytes=8388608")
        self.mesh("topic", "create", "async", "--set", "segment.bytes=8388608", "--set", "flush=async")
        for topic in topics:
            self.mesh("produce", topic, stdin=chunk)
        producers = [self.spawn("produce", topic, "--timeout", "60s", stdin=subprocess.PIPE, stderr=subprocess.PIPE) for topic in topics]
        for producer in producers:
            producer.stdin.write(chunk[:1_000_000])
            producer.stdin.flush()
        filler = self.take_all_space()  # while they write
        refused = self.mesh("produce", "group", "--json", "--timeout", "2s", stdin=chunk, code=None)
        self.assertEqual(refused.code, 1, str(refused))
        self.assertNotEqual(refused.json["error"]["name"], "STORAGE", str(refused))
        self.assertTrue(self.mesh("status", "--json").json["problems"], "status names the full disk")
        os.unlink(filler)
        for producer in producers:
            producer.stdin.write(chunk[1_000_000:])
            self.finish(producer)
        for topic in topics:
            self.mesh("produce", topic, "--timeout", "60s", stdin=b"after\n")
            out = self.mesh("consume", topic, "--until-end").out
            rest = [line for line in out.split(b"\n")[:-1]]
            self.assertEqual(rest[-1], b"after")
            lines = chunk.split(b"\n")[:-1]
            self.assertEqual(rest[:8_000], lines)
            self.assertEqual(set(rest[8_000:-1]) - set(lines), set())
            self.assertGreaterEqual(len(rest), 16_001)  # all that was acknowledged; of what was refused, perhaps some
        self.assertEqual(self.mesh("status", "--json").json["problems"], [])
        self.assertEqual(broker.stop(), 0, broker.log())
        broker.start()
        for topic in topics:
            self.assertEqual(self.mesh("consume", topic, "--from", "offset:-1", "--until-end").out, b"after\n")

    def test_broker_that_died_on_a_full_disk_starts_again(self):
        broker = self.start_broker(self.path("disk", "data"), options=SMALL + ["--shards", "1"])
        self.mesh("topic", "create", "fill", "--set", "segment.bytes=8388608")
        self.fill("fill")
        end = self.mesh("topic", "describe", "fill", "--json").json["partitions"][0]["high_watermark"]
        broker.kill()
        broker.start()
        self.assertGreaterEqual(self.mesh("topic", "describe", "fill", "--json").json["partitions"][0]["high_watermark"], end)
        self.assertGreaterEqual(len(self.mesh("consume", "fill", "--until-end").out), end * 1000)

    def test_shards_without_room_for_a_journal_refuse_and_stop(self):
        broker = self.start_broker(self.path("disk", "data"), options=SMALL + ["--shards", "4"])
        self.mesh("topic", "create", "t", "--partitions", "16")
        acknowledged = 0
        for partition in range(16):
            result = self.mesh("produce", "t", "--partition", partition, "--json", "--timeout", "1s", stdin=b"x\n" * 10, code=None)
            self.assertEqual(result.code, 0 if result.json["records"] == 10 else 1, str(result))
            acknowledged += result.json["records"]
        self.assertGreaterEqual(len(self.mesh("consume", "t", "--until-end").out), 2 * acknowledged)
        self.mesh("status")
        self.assertEqual(broker.stop(), 0, "what cannot be written must not keep a broker from stopping")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Replicas in trouble that is not a crash: leaders that are stopped in order, followers away for long, and disks that are full."""
import os
import subprocess
import time

from harness import main, text_lines
from mesh_case import MeshCase

SMALL = ["--set", "disk.free.bytes.min=16777216", "--set", "journal.bytes.max=67108864"]


class ReplicaFaults(MeshCase):
    def partition(self, broker, topic, number=0):
        return self.mesh("topic", "describe", topic, "--json", broker=broker).json["partitions"][number]

    def node_of(self, broker, seen_from):
        uuid = broker.ready.split("broker=")[1].split()[0]
        return next(row["node_id"] for row in self.status(seen_from)["brokers"] if row["broker"] == uuid)

    def in_sync(self, broker, topic, count, partitions=1):
        return lambda: all(len(self.partition(broker, topic, i)["isr"]) == count for i in range(partitions))

    def replicated(self, topic, *settings, brokers=None, partitions=1):
        brokers = brokers or self.launch_together(3)
        self.wait_coordinator(brokers)
        self.until("three brokers", lambda: len(self.status(brokers[0])["brokers"]) == 3, *brokers)
        self.mesh("topic", "create", topic, "--replicas", 3, "--partitions", partitions, *settings, broker=brokers[0])
        for broker in brokers:
            self.until("all replicas are in sync", self.in_sync(broker, topic, 3, partitions), *brokers)
        return brokers

    def leader_of(self, brokers, topic):
        leader = self.partition(brokers[0], topic)["leader"]
        return next(broker for broker in brokers if self.node_of(broker, brokers[0]) == leader)

    def consume(self, broker, topic):
        self.until("its end is known", lambda: self.partition(broker, topic)["problem"] is None, broker)
        return self.mesh("consume", topic, "--until-end", broker=broker).out.split(b"\n")[:-1]

    def test_brokers_are_restarted_in_turn_and_no_client_notices(self):
        brokers = self.replicated("orders")
        lines = text_lines(3000)
        for turn, broker in enumerate(brokers):
            witness = brokers[(turn + 1) % 3]
            producer = self.spawn("produce", "orders", stdin=-1, env=self.command_environment(witness))
            producer.stdin.write(b"\n".join(lines[turn * 1000:turn * 1000 + 500]) + b"\n")
            producer.stdin.flush()
            self.until("records arrive", lambda: self.partition(witness, "orders")["high_watermark"] >= turn * 1000 + 500, *brokers)
            was = self.partition(witness, "orders")["leader"] == self.node_of(broker, witness)
            broker.process.terminate()
            begin = time.monotonic()
            self.mesh("produce", "orders", stdin=b"x\n", broker=witness)  # accepted while the other one is on its way out
            print(f"accepted {time.monotonic() - begin:.3f} s after a {'leader' if was else 'follower'} was asked to stop", flush=True)
            producer.stdin.write(b"\n".join(lines[turn * 1000 + 500:turn * 1000 + 1000]) + b"\n")
            self.finish(producer)
            self.assertEqual(broker.wait(), 0)
            broker.start()
            self.until("all are in sync again", self.in_sync(witness, "orders", 3), *brokers)
        for broker in brokers:
            self.assertEqual([line for line in self.consume(broker, "orders") if line != b"x"], lines)
        for broker in brokers:
            self.assertEqual([line for line in broker.lines if "given up" in line or "may be lost" in line], [])

    def test_who_was_away_for_long_catches_up_from_files_while_others_write(self):
        brokers = self.replicated("orders", "--set", "segment.bytes=4194304")
        leader = self.leader_of(brokers, "orders")
        away = next(broker for broker in brokers if broker is not leader)
        third = next(broker for broker in brokers if broker not in (leader, away))
        away.kill()
        chunk = b"".join(b"%0999d\n" % n for n in range(16_000))  # 16 MB each
        for _ in range(4):
            self.mesh("produce", "orders", stdin=chunk, broker=third)
        for folder, _, names in os.walk(leader.data):  # not in memory any more
            for name in names:
                fd = os.open(os.path.join(folder, name), os.O_RDONLY)
                try:
                    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(fd)
        producer = self.spawn("produce", "orders", stdin=-1, env=self.command_environment(third))
        producer.stdin.write(chunk[:4_000_000])
        away.start()
        producer.stdin.write(chunk[:4_000_000])
        self.finish(producer)
        self.until("it is in sync again", self.in_sync(third, "orders", 3), *brokers)
        self.assertEqual(self.mesh("consume", "orders", "--until-end", broker=away).out, chunk * 4 + chunk[:4_000_000] * 2)
        self.assertEqual(self.mesh("consume", "orders", "--until-end", broker=leader).out, chunk * 4 + chunk[:4_000_000] * 2)

    def test_a_follower_whose_disk_is_full_leaves_and_comes_back(self):
        os.mkdir(self.path("disk"))
        if os.geteuid() != 0:
            self.skipTest("only root may mount a tmpfs")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", self.path("disk")], capture_output=True, text=True)
        if done.returncode != 0:
            self.skipTest(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
        try:
            self.full_disk()
        finally:
            for broker in self.brokers:
                if broker.process.poll() is None:
                    broker.kill()
            subprocess.run(["umount", self.path("disk")], check=True)

    def full_disk(self):
        first = self.start_broker(self.path("b0"), options=["--name", "b0", "--set", "election.ms=400"])
        rest = [self.start_broker(path, seeds=[first.address], options=["--name", name, "--set", "election.ms=400", *SMALL])
                for name, path in (("b1", self.path("b1")), ("b2", self.path("disk", "data")))]
        brokers = self.replicated("orders", "--set", "segment.bytes=4194304", brokers=[first, *rest])
        full = brokers[2]
        if self.leader_of(brokers, "orders") is full:  # it is to follow
            full.stop()
            full.start()
            self.until("it follows", self.in_sync(first, "orders", 3), *brokers)
        filler = self.path("disk", "filler")
        with open(filler, "wb") as file:
            stat = os.statvfs(self.path("disk"))
            file.write(b"\0" * (stat.f_bavail * stat.f_frsize - 20_000_000))
        chunk = b"".join(b"%0999d\n" % n for n in range(16_000))
        for _ in range(2):
            self.mesh("produce", "orders", stdin=chunk, broker=first)
        self.until("who cannot write is out of the ISR", self.in_sync(first, "orders", 2), *brokers)
        self.mesh("produce", "orders", stdin=chunk, broker=first)  # and the rest goes on
        os.unlink(filler)
        self.until("it is in sync again", self.in_sync(first, "orders", 3), *brokers)
        for broker in brokers:
            self.assertEqual(self.mesh("consume", "orders", "--until-end", broker=broker).out, chunk * 3)


if __name__ == "__main__":
    main()

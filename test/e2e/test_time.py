#!/usr/bin/env python3
"""What time alone brings about: expired records go although nobody writes, async topics are synced in time."""
import re
import time
import urllib.request

from harness import Case, main

DEADLINE_S = 60


class Time(Case):
    def until(self, what, seen):
        """Asks again and again until seen() is true; each question is a command or a request, so this does not spin."""
        end = time.monotonic() + DEADLINE_S
        while not seen():
            self.assertLess(time.monotonic(), end, f"{what}: not within {DEADLINE_S} s\n{self.broker.log()}")

    def log_start(self, topic):
        return self.mesh("topic", "describe", topic, "--json").json["partitions"][0]["log_start"]

    def syncs(self):
        with urllib.request.urlopen(f"http://{self.broker.address}/metrics", timeout=60) as answer:
            found = re.findall(r"^mesh_store_segment_syncs_total(?:\{[^}]*\})? ([0-9.e+]+)$", answer.read().decode(), re.M)
        self.assertTrue(found, "the metric is there")
        return sum(float(value) for value in found)

    def test_records_expire_after_a_restart_although_nobody_writes(self):
        self.start_broker()
        self.mesh("topic", "create", "old", "--set", "retention.ms=1000")
        self.mesh("produce", "old", stdin=b"x\n" * 10)
        self.broker.stop()
        self.broker.start()
        self.until("expired after a restart", lambda: self.log_start("old") == 10)

    def test_a_shorter_retention_is_applied_to_a_topic_at_rest(self):
        self.start_broker()
        self.mesh("topic", "create", "old")
        self.mesh("produce", "old", stdin=b"x\n" * 10)
        self.mesh("topic", "alter", "old", "--set", "retention.ms=1000")
        self.until("expired after an alteration", lambda: self.log_start("old") == 10)

    def test_an_async_topic_is_synced_in_time_after_a_restart(self):
        self.start_broker()
        self.mesh("topic", "create", "fast", "--set", "flush=async", "--set", "flush.interval.ms=500")
        self.mesh("produce", "fast", stdin=b"x\n")
        self.broker.stop()
        self.broker.start()
        self.mesh("produce", "fast", stdin=b"y\n")
        self.until("synced", lambda: self.syncs() >= 1)


if __name__ == "__main__":
    main()

"""The Kafka door as its clients feel it: kcat (librdkafka, of Debian) for throughput, one request at a time by Python for latency.

A client that is there for all of it: `direct` goes to the partition's leader; `forwarded` comes by the gateway of a broker that leads nothing.
"""
import os
import re
import socket
import statistics
import subprocess
import sys
import time

import many_brokers

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
import kafka_wire  # noqa: E402

LINE = 1024  # bytes of a record's value, and of its end of line, which kcat takes off
GATEWAY = ("--listen", "kafka-gateway://127.0.0.1:0")
PRODUCER = ("-X", "acks=all", "-X", "linger.ms=5", "-X", "batch.num.messages=1000", "-X", "queue.buffering.max.messages=200000")


def write_lines(path, count):
    with open(path, "wb") as file:
        for i in range(0, count, 1000):
            file.write(b"".join(b"%0*d\n" % (LINE - 1, i + k) for k in range(min(1000, count - i))))


def gateway_of(log):
    """The address, of a broker's lines."""
    return next(found.group(1) for found in (re.search(r"mesh: ready on .* gateway=(\S+)", line) for line in log) if found)


def kcat(address, *words):
    """Returns how long it took, and its CPU time."""
    begin, before = time.monotonic(), os.times()
    done = subprocess.run(["kcat", "-q", "-b", address, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          timeout=many_brokers.PATIENCE_S, check=False)
    after = os.times()
    if done.returncode != 0:
        raise SystemExit(f"kcat failed: {done.stderr}")
    return time.monotonic() - begin, after.children_user + after.children_system - before.children_user - before.children_system


def all_cpu_s(pids):
    return sum(many_brokers.cpu_s(pid) for pid in pids)


def produce(address, topic, lines, pids):
    """MB/s; CPU-s/GB of all brokers and of the client."""
    size = os.path.getsize(lines)
    before = all_cpu_s(pids)
    seconds, client = kcat(address, "-P", "-t", topic, *PRODUCER, "-l", lines)
    return size / 1e6 / seconds, (all_cpu_s(pids) - before) / (size / 1e9), client / (size / 1e9)


def consume(address, topic, size, pids):
    """Likewise, of all that is in the topic."""
    before = all_cpu_s(pids)
    seconds, client = kcat(address, "-C", "-t", topic, "-o", "beginning", "-e", "-f", "")
    return size / 1e6 / seconds, (all_cpu_s(pids) - before) / (size / 1e9), client / (size / 1e9)


class Ping:
    """One record of 1 KiB at a time, of which the batch was made beforehand: what Python costs is the same either way."""

    def __init__(self, address, topic):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=many_brokers.PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client = kafka_wire.Client(self.socket)
        self.topic, self.batch = topic, kafka_wire.batch([b"x" * LINE])

    def times_us(self, count):
        times = []
        for _ in range(count):
            begin = time.monotonic()
            error, _ = self.client.produce(self.topic, 0, self.batch)
            times.append((time.monotonic() - begin) * 1e6)
            if error != 0:
                raise SystemExit(f"a record was refused: {error}")
        return times

    def close(self):
        self.socket.close()


def latency_us(ways, topic, count):
    """The median of each way; a few of each in turns, so that what else the machine does meets all."""
    pings = [Ping(address, topic) for address in ways]
    times = [[] for _ in ways]
    for _ in range(count // 50):
        for i, ping in enumerate(pings):
            times[i] += ping.times_us(50)
    for ping in pings:
        ping.close()
    return [statistics.median(of) for of in times]

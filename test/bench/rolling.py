"""Three brokers that are started by the same line, and restarted one by one while a client produces: what an operator does, and what clients see of it."""
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from urllib.error import URLError
from urllib.request import urlopen

from many_brokers import PATIENCE_S, cpu_s, pass_time, resident_mib, wait_until


def free_port():
    """Below those that the kernel gives to whoever connects: a broker that is down does not lose it."""
    while True:
        port = random.randrange(12000, 30000)
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Twin:
    """One of several whose command lines differ in their own address and directory alone."""

    def __init__(self, program, folder, name, address, addresses, environment, options):
        self.name, self.address, self.environment = name, address, environment
        self.command = [program, "join", "--expect", str(len(addresses)), *addresses, "--data", os.path.join(folder, name), "--listen", address, "--name", name, "--quiet", *options]
        self.log = os.path.join(folder, name + ".log")
        self.start()

    def start(self):
        with open(self.log, "ab") as file:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file, env=self.environment)

    def is_ready(self):
        """As a readiness probe asks: joined, and its copies in sync."""
        if self.process.poll() is not None:
            raise SystemExit(f"{self.name} has ended with {self.process.returncode}: {self.log}")
        try:
            with urlopen(f"http://{self.address}/readyz", timeout=5) as answer:
                return answer.status == 200
        except (URLError, OSError):
            return False

    def wait_ready(self):
        wait_until(self.is_ready, f"{self.name} is ready ({self.log})", self.process)


class Twins:
    def __init__(self, program, folder, count, environment, options=()):
        self.program, self.environment = program, environment
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        addresses = [f"127.0.0.1:{free_port()}" for _ in range(count)]
        self.everyone = ",".join(addresses)
        subprocess.run([program, "key", "generate"], env=environment, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.began = time.monotonic()
        self.members = [Twin(program, folder, f"b{i}", address, addresses, environment, options) for i, address in enumerate(addresses)]

    def mesh(self, *words, stdin=None):
        done = subprocess.run([self.program, *words, "--broker", self.everyone], env=self.environment, input=stdin, capture_output=True, check=False, timeout=2 * PATIENCE_S)
        if done.returncode != 0:
            raise SystemExit(f"failed ({done.returncode}): {' '.join(words)}: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def first_record_s(self):
        """From the first process's start to a record that a client with default settings was acknowledged: it creates its topic by producing."""
        self.mesh("produce", "first", stdin=b"one\n")
        return time.monotonic() - self.began

    def wait_in_sync(self, topic):
        def is_so():
            return all(len(p["isr"]) == len(self.members) and p["problem"] is None for p in json.loads(self.mesh("topic", "describe", topic, "--json"))["partitions"])

        wait_until(is_so, f"{topic} is in sync", self.members[0].process)

    def leaders(self, topic):
        """How many partitions each broker leads, by name."""
        names = {row["node_id"]: row["name"] for row in json.loads(self.mesh("status", "--json"))["brokers"]}
        found = [names.get(p["leader"]) for p in json.loads(self.mesh("topic", "describe", topic, "--json"))["partitions"]]
        return {name: found.count(name) for name in names.values()}

    def drain_s(self, member):
        begin = time.monotonic()
        self.mesh("drain", member.name)
        return time.monotonic() - begin

    def restart(self, member):
        """What a StatefulSet does with a pod: preStop, SIGTERM, and the next one when this one is ready."""
        self.mesh("drain", member.name)
        member.process.send_signal(signal.SIGTERM)
        if member.process.wait(PATIENCE_S) != 0:
            raise SystemExit(f"{member.name} did not end in good order: {member.log}")
        member.start()
        member.wait_ready()

    def produce_while(self, topic, rate, seconds, work):
        """`mesh bench produce` with default settings for so long; `work` is called over and over meanwhile. Its result, and how often `work` was done."""
        done, child = 0, subprocess.Popen([self.program, "bench", "produce", "--topic", topic, "--record-size", "1024", "--rate", str(rate), "--seconds", str(seconds),
                                           "--json", "--broker", self.everyone], stdout=subprocess.PIPE, env=self.environment)
        said = []
        reader = threading.Thread(target=lambda: said.append(child.stdout.read()))
        reader.start()
        while child.poll() is None:
            work(done)
            done += 1
        reader.join(PATIENCE_S)
        if child.returncode not in (0, 1) or not said[0]:
            raise SystemExit(f"the producer ended with {child.returncode}")
        return json.loads(said[0]), done

    def usage(self, work):
        """Of the one that needed most while `work` was done: share of a core, and resident MiB at its end."""
        before, begin = [cpu_s(member.process.pid) for member in self.members], time.monotonic()
        work()
        took = time.monotonic() - begin
        return max((cpu_s(member.process.pid) - was) / took for member, was in zip(self.members, before)), max(resident_mib(member.process.pid) for member in self.members)

    def rest(self, seconds):
        pass_time(self.members[0].process, seconds)

    def close(self):
        for member in self.members:
            member.process.kill()
        for member in self.members:
            member.process.wait(PATIENCE_S)

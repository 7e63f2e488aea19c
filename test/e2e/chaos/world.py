"""The machines of a run: brokers, each with its own network, disk and clock where the system lets us have them, and what can be done to them.

Nothing here outlives the process: with namespaces, it runs in process, mount and network namespaces of its own (run.py), and the kernel takes
all of that away with it; without, brokers are ended by their handles, or by the sweeper of the end-to-end tests."""
import errno
import json
import os
import random
import signal
import struct
import subprocess
import threading
import time

import history
from addresses import free_addresses

DISK_MIB = 640  # of each broker: two shards' journals, and what a round writes
SETTINGS = ["--shards", "2", "--set", "election.ms=600", "--set", "disk.free.bytes.min=16777216", "--set", "journal.bytes.max=134217728",
            "--set", "scrub.first.ms=2000", "--set", "scrub.rest.ms=5000"]  # damage is found within a round


class Trouble(Exception):
    """The world itself does not do as it is told: no verdict about brokers."""


def command(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Trouble(f"{' '.join(map(str, words))}: {done.stderr.strip()}")


class Servant:
    """A program that obeys lines on its standard input and answers each with one."""

    def __init__(self, words, prefix=()):
        self.process = subprocess.Popen([*prefix, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.lock = threading.Lock()
        if self.process.stdout.readline() != "ready\n":
            raise Trouble(f"{words[0]} did not get ready")

    def tell(self, line):
        with self.lock:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().strip()
        if not answer.startswith("ok"):
            raise Trouble(f"{line}: {answer or 'it is gone'}")
        return answer[3:]

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


class Wire:
    """All machines' networks (wire.c). Machine number `count` is the clients'."""

    def __init__(self, programs, count, seed):
        self.servant = Servant([programs["wire"], count, seed])
        self.holders = []
        for number in range(count):
            holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            holder.stdout.readline()  # it is in its namespace
            self.holders.append(holder)
            command("ip", "link", "set", f"mesh{number}", "netns", holder.pid)
            for words in (["link", "set", "lo", "up"], ["address", "add", f"{self.host(number)}/24", "dev", f"mesh{number}"],
                          ["link", "set", f"mesh{number}", "up"]):
                command(*self.prefix(number), "ip", *words)

    @staticmethod
    def host(number):
        return f"10.77.0.{number + 1}"

    def prefix(self, number):
        return ["nsenter", "-t", str(self.holders[number].pid), "-n"]

    def link(self, from_, to, *faults):
        self.servant.tell(" ".join(["link", str(from_), str(to), *faults]))

    def clear(self):
        self.link("*", "*")

    def close(self):
        self.servant.close()
        for holder in self.holders:
            holder.stdin.close()
            holder.stdout.close()
            holder.wait()


class Disk:
    """A broker's: small, and where FUSE is to be had one that forgets (lossy_disk.c)."""

    def __init__(self, folder, name, programs, can_mount):
        self.top = os.path.join(folder, "disks", name)
        os.makedirs(self.top)
        self.is_small = can_mount
        if can_mount:
            command("mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", self.top)
        for part in ("root", "stash", "seen"):
            os.mkdir(os.path.join(self.top, part))
        self.lossy = None
        self.below = os.path.join(self.top, "root")  # what has reached the disk
        self.data = os.path.join(self.below, "data")
        if can_mount and "disk" in programs:
            seen = os.path.join(self.top, "seen")
            self.lossy = Servant([programs["disk"], self.below, os.path.join(self.top, "stash"), seen])
            self.data = os.path.join(seen, "data")

    def close(self):
        if self.lossy is not None:
            self.lossy.close()


class Machine:
    """A broker and what it runs on. Its state: up, asleep (SIGSTOP), stopping, down."""

    def __init__(self, world, number, address, disk):
        self.world, self.number, self.address, self.disk = world, number, address, disk
        self.name, self.state, self.process = f"b{number}", "down", None
        self.log_path = os.path.join(world.folder, "logs", f"{self.name}.log")
        self.starts = 0
        self.has_bad_disk = False  # its next syncs fail, or some have
        self.clock_path = os.path.join(world.folder, f"{self.name}.clock")
        self.set_clock(0)

    def start(self):
        if self.state != "down":
            return
        env = dict(self.world.env)
        if "clock" in self.world.programs and self.world.has_clocks:
            env.update(LD_PRELOAD=self.world.programs["clock"], CHAOS_CLOCK_FILE=self.clock_path)
        words = [*self.world.prefix(self.number), self.world.programs["mesh"], "join", *self.world.addresses, "--expect", str(len(self.world.addresses)),
                 "--name", self.name, "--data", self.disk.data, "--listen", self.address, *SETTINGS]
        with open(self.log_path, "ab") as log:
            log.write(f"--- {self.world.seconds():.1f} start\n".encode())
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        self.starts += 1
        self.state = "up"

    def check_running(self):
        """A broker that ends by itself is a finding, whatever was done to it; but one that cannot start from its disk has to say so and end."""
        if self.state == "up" and self.process.poll() is not None:
            self.state = "down"
            if self.has_bad_disk and self.process.returncode == 1 and not self.was_ready():
                self.world.note(f"{self.name} did not start: its disk has failed")
                return None
            return f"{self.name} ended by itself with {self.process.returncode}; the end of its log:\n{self.log_end()}"
        return None

    def told_losses(self):
        """{topic: partitions} that this broker has said may have lost acknowledged records."""
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return history.told_losses(file)

    def log_end(self, lines=25):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-lines:])

    def kill(self):
        if self.state == "down":
            return
        self.process.kill()
        self.process.wait()
        self.state = "down"

    def doze(self):
        if self.state == "up":
            self.process.send_signal(signal.SIGSTOP)
            self.state = "asleep"

    def wake(self):
        if self.state == "asleep":
            self.process.send_signal(signal.SIGCONT)
            self.state = "up"

    def terminate(self):
        self.wake()
        if self.state == "up":
            self.process.terminate()
            self.state = "stopping"

    def end(self, seconds=60):
        """After terminate(). Returns what is wrong with how it ended, or None."""
        if self.state == "down":
            return None
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return f"{self.name} did not stop within {seconds} s; the end of its log:\n{self.log_end()}"
        self.state = "down"
        if code == -signal.SIGTERM and not self.was_ready():
            return None  # it was still starting: a start that is given up recovers like one that was killed
        return None if code == 0 else f"{self.name} ended with {code}; the end of its log:\n{self.log_end()}"

    def was_ready(self):
        """In its present life."""
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            life = file.read().rpartition("--- ")[2]
        return "mesh: ready on" in life

    def power_cut(self, seed=None):
        self.kill()
        self.has_bad_disk = False
        if self.disk.lossy is None:
            return "nothing was lost: no FUSE"
        return self.disk.lossy.tell("cut" if seed is None else f"cut {seed}")

    def slow_disk(self, ms):
        if self.disk.lossy is not None:
            self.disk.lossy.tell(f"slow {ms}")

    def fail_syncs(self, count):
        if self.disk.lossy is not None:
            self.has_bad_disk = True
            self.disk.lossy.tell(f"fail {count}")

    def fill(self, left_kib):
        """Leaves so much on the disk."""
        st = os.statvfs(self.disk.top)
        size = st.f_bavail * st.f_frsize - left_kib * 1024
        if self.disk.is_small and size > 0:
            with open(os.path.join(self.disk.top, "ballast"), "wb") as file:
                try:
                    os.posix_fallocate(file.fileno(), 0, size)
                except OSError as error:  # the broker has written meanwhile: it is as full as can be
                    if error.errno != errno.ENOSPC:
                        raise

    def empty(self):
        if os.path.exists(os.path.join(self.disk.top, "ballast")):
            os.unlink(os.path.join(self.disk.top, "ballast"))

    def wipe(self):
        """Its disk is replaced by an empty one. Returns the identity that is gone with it, or None when it had none yet."""
        self.kill()
        try:
            with open(os.path.join(self.disk.data, "ready.json"), encoding="utf-8") as file:
                broker = json.load(file)["broker"]
        except (OSError, ValueError):
            broker = None
        if self.disk.lossy is not None:
            self.disk.lossy.tell("cut")
        for directory, folders, names in os.walk(self.disk.data, topdown=False):
            for name in names:
                os.unlink(os.path.join(directory, name))
            for name in folders:
                os.rmdir(os.path.join(directory, name))
            self.sync(directory)  # a later power cut brings nothing back
        os.rmdir(self.disk.data)
        self.sync(os.path.dirname(self.disk.data))
        return broker

    @staticmethod
    def sync(directory):
        fd = os.open(directory, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    def set_clock(self, shift_ms):
        if not os.path.exists(self.clock_path):
            with open(self.clock_path, "wb") as file:
                file.write(bytes(8))
        with open(self.clock_path, "r+b") as file:
            file.write(struct.pack("=q", shift_ms))

    def flip(self, seed, count, suffix=".log"):
        """Turns bits of records that lie on the disk; says where."""
        generator, files, told = random.Random(seed), [], []
        for directory, _, names in os.walk(os.path.join(self.disk.below, "data", "topics")):
            files += [os.path.join(directory, name) for name in names if name.endswith(suffix)]
        files = sorted(path for path in files if os.path.getsize(path) > 0)
        for _ in range(count if files else 0):
            path = generator.choice(files)
            place = generator.randrange(os.path.getsize(path))
            with open(path, "r+b", buffering=0) as file:
                byte = os.pread(file.fileno(), 1, place)
                os.pwrite(file.fileno(), bytes([byte[0] ^ 1 << generator.randrange(8)]), place)
            told.append(f"{os.path.relpath(path, self.disk.below)}:{place}")
        return told


class World:
    def __init__(self, folder, programs, count, seed, env, has_namespaces, has_clocks=True):
        self.folder, self.programs, self.env, self.has_clocks = folder, programs, env, has_clocks
        self.begin = time.monotonic()
        os.makedirs(os.path.join(folder, "logs"))
        self.events = open(os.path.join(folder, "logs", "events"), "w", encoding="utf-8")
        self.wire = Wire(programs, count + 1, seed) if has_namespaces else None
        self.clients = count  # the number of their machine
        self.addresses = [f"{Wire.host(i)}:9092" for i in range(count)] if has_namespaces else free_addresses(count)
        self.machines = [Machine(self, i, self.addresses[i], Disk(folder, f"b{i}", programs, has_namespaces)) for i in range(count)]

    def seconds(self):
        return time.monotonic() - self.begin

    def note(self, text, is_shown=True):
        line = f"{self.seconds():7.1f} {text}"
        self.events.write(line + "\n")
        self.events.flush()
        if is_shown:
            print(line, flush=True)

    def prefix(self, number):
        return self.wire.prefix(number) if self.wire is not None else []

    def mesh(self, *words, broker=None, seconds=60, stdin=None):
        """A command of the clients' machine: (exit code, output, complaints)."""
        env = dict(self.env, MESH_BROKER=self.addresses[broker] if broker is not None else ",".join(self.addresses))
        try:
            done = subprocess.run([*self.prefix(self.clients), self.programs["mesh"], *map(str, words)], input=stdin, capture_output=True,
                                  text=True, env=env, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            return -1, "", f"nothing within {seconds} s"
        return done.returncode, done.stdout, done.stderr

    def ask(self, *words, broker=None, seconds=20):
        """The answer of a command with --json, or None."""
        code, out, _ = self.mesh(*words, "--json", "--timeout", f"{max(1, seconds // 2)}s", broker=broker, seconds=seconds)
        try:
            return json.loads(out) if code == 0 else None
        except ValueError:
            return None

    def complaints(self):
        return [text for text in (machine.check_running() for machine in self.machines) if text]

    def stop_brokers(self):
        """Returns what is wrong with how they ended."""
        found = []
        for machine in self.machines:  # all at once: alone, the last ones would wait for a majority
            machine.terminate()
        for machine in self.machines:
            text = machine.end()
            if text:
                found.append(text)
        return found

    def close(self):
        for machine in self.machines:
            machine.kill()
            machine.disk.close()
        if self.wire is not None:
            self.wire.close()
        self.events.close()

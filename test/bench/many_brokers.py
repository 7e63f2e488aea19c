"""Many real brokers on this machine: one mesh, one address of 127.0.0.0/8 each, watched through their logs and /metrics.

What a broker sees is taken from the time stamps in its log, so that watching a hundred of them does not slow them down.
"""
import calendar
import os
import re
import signal
import subprocess
import time
from urllib.request import urlopen

PATIENCE_S = 60
HEADERS = 28  # bytes of IP and UDP before each datagram


def stamp(line):
    """The time at the beginning of a line of log, in seconds of the wall clock."""
    seconds, milliseconds = line[:23].split(".")
    return calendar.timegm(time.strptime(seconds, "%Y-%m-%dT%H:%M:%S")) + int(milliseconds) / 1000


def cpu_s(pid):
    """User and kernel time of all threads, exactly: what an idle broker needs in many seconds is less than a tick of
    /proc/PID/stat."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def resident_mib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:")) / 1024


def loopback_bytes():
    """What has been sent over the loopback so far: an upper bound, if others use it too."""
    with open("/proc/net/dev", encoding="ascii") as file:
        return next(int(line.split()[9]) for line in file if line.strip().startswith("lo:"))


class Member:
    """One `mesh serve`, or with a seed one `mesh join`; its log is a file beside its data."""

    def __init__(self, mesh, work, number, seed, environment, *options):
        self.number, self.name = number, f"b{number}"
        self.log = os.path.join(work, self.name + ".log")
        command = ["join", seed] if seed else ["serve"]
        self.began = time.time()
        with open(self.log, "wb") as file:
            self.process = subprocess.Popen(
                [mesh, *command, "--data", os.path.join(work, self.name), "--name", self.name, *options,
                 "--listen", f"127.0.{number // 250}.{number % 250 + 1}:0"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file, env=environment)
        self.address = None

    def lines(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read().rpartition("\n")[0].splitlines()  # the last one may be half written

    def is_ready(self):
        for line in self.lines() if self.address is None else ():
            if "mesh: ready on " in line:
                self.address = line.split("mesh: ready on ")[1].split()[0]
        return self.address is not None

    def seen(self, mark):
        """When each of the lines that contain `mark` was written."""
        return [stamp(line) for line in self.lines() if mark in line and re.match(r"\d{4}-", line)]

    def metrics(self):
        with urlopen(f"http://{self.address}/metrics", timeout=PATIENCE_S) as answer:
            text = answer.read().decode()
        return {name: float(value) for name, value in re.findall(r"^(mesh_\S+) ([0-9.e+]+)$", text, re.M)}

    def cpu_s(self):
        return cpu_s(self.process.pid)

    def resident_mib(self):
        return resident_mib(self.process.pid)


def rest_until_quiet(all_cpu_s, rest):
    """Until all brokers together need less than 2 % of a core for two seconds. all_cpu_s() is what they have used, rest(s) leaves them alone."""
    end, busy = time.monotonic() + PATIENCE_S, 1.0
    while busy > 0.02 and time.monotonic() < end:
        before, begin = all_cpu_s(), time.monotonic()
        rest(2)
        busy = (all_cpu_s() - before) / (time.monotonic() - begin)


def rest_until_written(all_cpu_s, rest):
    """Until nothing of what was committed waits in memory for its segments: what is small does for ten seconds."""
    rest_until_quiet(all_cpu_s, rest)
    rest(14)
    rest_until_quiet(all_cpu_s, rest)


def pass_time(process, seconds):
    """Leaves the machine to the brokers, of which none is to end meanwhile."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return
    raise SystemExit(f"a broker has ended by itself with {process.returncode}")


def wait_until(done, what, process):
    end = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > end:
            raise SystemExit(f"not within {PATIENCE_S} s: {what}")
        pass_time(process, 0.02)


class Mesh:
    """Starts `count` brokers at once, all through the first; close() ends them. `options`: of a broker, by its number."""

    def __init__(self, mesh, work, count, environment, options=lambda number: ("--shards", "1")):
        self.began = time.time()
        self.mesh, self.work, self.environment, self.options = mesh, work, environment, options
        self.members = [Member(mesh, work, 0, None, environment, *options(0))]
        try:
            wait_until(self.members[0].is_ready, "the first broker", self.members[0].process)
            for number in range(1, count):
                self.members.append(Member(mesh, work, number, self.members[0].address, environment, *options(number)))
        except BaseException:
            self.close()
            raise

    def wait_all(self, mark, members, count=1):
        """Until the log of each has `count` lines with the mark. Returns when the last of them was written."""
        last = 0
        for member in members:
            wait_until(lambda m=member: len(m.seen(mark)) >= count, f"{mark} at {member.name}", member.process)
            last = max(last, sorted(member.seen(mark))[count - 1])
        return last

    def wait_agreement(self):
        """Until everyone sees everyone alive; returns how long that took since the first was started."""
        last = self.wait_all("member alive", self.members, len(self.members) - 1)
        for member in self.members:
            member.is_ready()
            wait_until(lambda m=member: m.metrics()['mesh_members{state="alive"}'] == len(self.members),
                       f"agreement at {member.name}", member.process)
        return last - self.began

    def rest(self, seconds):
        pass_time(self.members[0].process, seconds)

    def idle(self, seconds):
        """What each does per second while nothing happens: bytes sent and received on the wire, share of a core."""
        names = ("sent", "received")
        before, cpu, begin = [m.metrics() for m in self.members], sum(m.cpu_s() for m in self.members), time.monotonic()
        self.rest(seconds)
        took, cpu = time.monotonic() - begin, sum(m.cpu_s() for m in self.members) - cpu
        after = [m.metrics() for m in self.members]
        total = {}
        for name in names:
            total[name] = sum(new[f"mesh_{what}_{name}_bytes_total"] - old[f"mesh_{what}_{name}_bytes_total"]
                              for new, old in zip(after, before) for what in ("udp", "link"))
            total[name] += HEADERS * sum(new[f"mesh_gossip_packets_{name}_total"] - old[f"mesh_gossip_packets_{name}_total"]
                                         for new, old in zip(after, before))
        share = 1 / took / len(self.members)
        return total["sent"] * share, total["received"] * share, cpu * share

    def kill(self, member):
        """kill -9; returns after how long the last of the others held it for dead."""
        rest = [m for m in self.members if m is not member]
        begin = time.time()
        member.process.send_signal(signal.SIGKILL)
        took = self.wait_all(f"member dead name={member.name} ", rest) - begin
        member.process.wait(PATIENCE_S)
        self.members = rest
        return took

    def add(self, number):
        """Starts one more, or again one that was killed: with its data, at another port. Returns it when it is ready, and after how long."""
        member = Member(self.mesh, self.work, number, self.members[0].address, self.environment, *self.options(number))
        self.members.append(member)
        wait_until(member.is_ready, f"{member.name} is ready", member.process)
        return member, time.time() - member.began

    def wait_voters(self, count):
        """Until so many vote."""
        mark = f"who decides changes: {count} voters"
        wait_until(lambda: any(m.seen(mark) for m in self.members), mark, self.members[0].process)

    def leave(self, member):
        """`mesh leave`; returns after how long the last of the others knew."""
        rest = [m for m in self.members if m is not member]
        begin = time.time()
        subprocess.run([self.mesh, "leave", "--broker", member.address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       check=True, timeout=PATIENCE_S, env=self.environment)
        took = self.wait_all(f"member left name={member.name} ", rest) - begin
        member.process.wait(PATIENCE_S)
        self.members = rest
        return took

    def close(self):
        for member in self.members:
            member.process.kill()
        for member in self.members:
            member.process.wait(PATIENCE_S)

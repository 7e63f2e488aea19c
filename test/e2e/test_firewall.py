#!/usr/bin/env python3
"""A firewall between two machines drops UDP without a word: links carry everything, that is told, and nobody dies of it.

Two network namespaces stand for the machines, a pair of virtual interfaces for the wire, and a routing rule for the firewall: none
of it is seen outside. Needs root, util-linux and iproute2; without them there is nothing to be run."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from urllib.request import urlopen

from harness import Case, main

PATIENCE_S = 60  # a limit is for what hangs
INSIDE = "MESH_TEST_IN_NAMESPACE"
HERE, THERE = "10.77.0.1", "10.77.0.2"


def run(*words):
    subprocess.run(words, check=True, capture_output=True)


class Machine:
    """The other machine: a process that holds its namespace."""

    def __init__(self):
        # It says when it is in its namespace, and ends with its input.
        self.holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.holder.stdout.readline()
        self.prefix = ["nsenter", "-t", str(self.holder.pid), "-n"]
        run("ip", "link", "add", "here", "type", "veth", "peer", "name", "there", "netns", str(self.holder.pid))
        for prefix, name, address in ([], "here", HERE), (self.prefix, "there", THERE):
            run(*prefix, "ip", "address", "add", f"{address}/24", "dev", name)
            run(*prefix, "ip", "link", "set", name, "up")
            run(*prefix, "ip", "link", "set", "lo", "up")
            # The rule for a machine's own addresses comes first unless it is moved behind the firewall's.
            run(*prefix, "ip", "rule", "add", "pref", "10", "lookup", "local")
            run(*prefix, "ip", "rule", "del", "pref", "0")

    def firewall(self, verb):
        for prefix, name in ([], "here"), (self.prefix, "there"):
            run(*prefix, "ip", "rule", verb, "pref", "1", "iif", name, "ipproto", "udp", "blackhole")

    def close(self):
        subprocess.run(["ip", "link", "del", "here"], capture_output=True, check=False)
        for prefix in [], self.prefix:
            subprocess.run([*prefix, "ip", "rule", "add", "pref", "0", "lookup", "local"], capture_output=True, check=False)
        subprocess.run(["ip", "rule", "del", "pref", "1"], capture_output=True, check=False)
        subprocess.run(["ip", "rule", "del", "pref", "10"], capture_output=True, check=False)
        self.holder.stdin.close()
        self.holder.stdout.close()
        self.holder.wait()


class Firewall(Case):
    def setUp(self):
        super().setUp()
        self.other = Machine()

    def tearDown(self):
        try:
            super().tearDown()
        finally:
            self.other.close()

    def start(self, name, seeds=(), there=False):
        return self.start_broker(self.path(name), listen=f"{THERE if there else HERE}:0", seeds=[seed.address for seed in seeds],
                                 prefix=self.other.prefix if there else (), options=["--name", name])

    def members(self, broker):
        return {member["name"]: member for member in self.mesh("members", "--json", broker=broker).json["members"]}

    def wait(self, broker, what, is_so):
        begin = time.monotonic()
        while not is_so(self.members(broker)):
            self.assertLess(time.monotonic() - begin, PATIENCE_S, f"{what}: {json.dumps(self.members(broker))}\n{broker.log()}")

    def wait_alive(self, brokers, *names):
        for broker in brokers:
            self.wait(broker, f"not alive: {names}",
                      lambda seen: {name for name in seen if seen[name]["state"] == "alive"} == set(names))

    def metrics(self, broker):
        with urlopen(f"http://{broker.address}/metrics", timeout=60) as answer:
            return answer.read().decode()

    def assert_nobody_died(self, brokers):
        for broker in brokers:
            self.assertIn("mesh_gossip_deaths_total 0\n", self.metrics(broker))

    def test_a_firewall_that_comes_and_goes(self):
        here = [self.start("b0")]
        here.append(self.start("b1", here))
        there = self.start("b2", here, there=True)
        brokers = [*here, there]
        self.wait_alive(brokers, "b0", "b1", "b2")
        self.other.firewall("add")
        for broker in here:
            self.wait(broker, "b2 is reached by UDP", lambda seen: seen["b2"]["udp_blocked"])
        self.wait(there, "b0 and b1 are reached by UDP", lambda seen: seen["b0"]["udp_blocked"] and seen["b1"]["udp_blocked"])
        # Only who is behind it is: between b0 and b1 nothing has changed.
        self.assertFalse(self.members(here[0])["b1"]["udp_blocked"])
        self.assertIn("(no UDP)", self.mesh("members", broker=here[0]).out.decode())
        # News cross it: somebody comes, there, and goes, here.
        brokers.append(self.start("b3", [there], there=True))
        self.wait_alive(brokers, "b0", "b1", "b2", "b3")
        self.assert_nobody_died(brokers)
        self.other.firewall("del")
        for broker in here:
            self.wait(broker, "UDP is not found again", lambda seen: not seen["b2"]["udp_blocked"])
        self.assert_nobody_died(brokers)

    def test_a_mesh_that_never_had_UDP(self):
        self.other.firewall("add")
        first = self.start("b0")
        there = [self.start("b1", [first], there=True)]
        there.append(self.start("b2", [first], there=True))
        self.wait_alive([first, *there], "b0", "b1", "b2")
        self.wait(first, "b1 and b2 are reached by UDP", lambda seen: seen["b1"]["udp_blocked"] and seen["b2"]["udp_blocked"])
        self.wait(there[0], "b0 is reached by UDP", lambda seen: seen["b0"]["udp_blocked"])
        self.assert_nobody_died([first, *there])
        # A death is noticed over links, and a leave is told.
        there[1].process.send_signal(signal.SIGKILL)
        there[1].wait()
        for broker in first, there[0]:
            self.wait(broker, "b2 is not dead", lambda seen: seen["b2"]["state"] == "dead")
        there[1].start()
        self.wait_alive([first, *there], "b0", "b1", "b2")
        self.mesh("leave", broker=there[1])
        self.assertEqual(there[1].wait(), 0)
        for broker in first, there[0]:
            self.wait(broker, "b2 has not left", lambda seen: seen["b2"]["state"] == "left")


def can_run():
    """Whether namespaces, virtual wires and such a rule are to be had here."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        return False
    try:
        machine = Machine()
        machine.firewall("add")
        machine.firewall("del")
        machine.close()
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


if __name__ == "__main__":
    if INSIDE not in os.environ:
        if shutil.which("unshare") is None or subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode != 0:
            print("no network namespaces here: skipped")
            sys.exit(77)
        os.execvpe("unshare", ["unshare", "-n", sys.executable, *sys.argv], dict(os.environ, **{INSIDE: "1"}))
    if not can_run():
        print("no virtual interfaces or rules here: skipped")
        sys.exit(77)
    main()

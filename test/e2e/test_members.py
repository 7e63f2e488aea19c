#!/usr/bin/env python3
"""Brokers that find each other: join, death, return, leave, the ways in which joining fails, and rotation of the key."""
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from urllib.request import urlopen

from harness import Case, MESH, environment, main

PATIENCE_S = 60  # a limit is for what hangs


class Members(Case):
    def members(self, broker):
        return {member["name"]: member for member in self.mesh("members", "--json", broker=broker).json["members"]}

    def wait_members(self, broker, wanted, seconds=PATIENCE_S):
        """Until the broker sees exactly these names in these states. Returns how long that took."""
        begin = time.monotonic()
        while True:
            seen = {name: member["state"] for name, member in self.members(broker).items()}
            if seen == wanted:
                return time.monotonic() - begin
            self.assertLess(time.monotonic() - begin, seconds, f"{seen} is not {wanted}:\n{broker.log()}")

    def start_mesh(self, count, **keywords):
        """Brokers b0, b1, ...; all but the first join through it."""
        brokers = []
        for number in range(count):
            seeds = [brokers[0].address] if brokers else []
            brokers.append(self.start_broker(self.path(f"b{number}"), seeds=seeds, options=["--name", f"b{number}"], **keywords))
        self.broker = brokers[0]
        for broker in brokers:
            self.wait_members(broker, {f"b{number}": "alive" for number in range(count)})
        return brokers

    def wait_links(self, brokers):
        """Until each has a link to every other."""
        begin = time.monotonic()
        for broker in brokers:
            while f"\nmesh_links {len(brokers) - 1}\n" not in self.http(broker, "/metrics"):
                self.assertLess(time.monotonic() - begin, PATIENCE_S, broker.log())

    def http(self, broker, path):
        with urlopen(f"http://{broker.address}{path}", timeout=60) as answer:
            return answer.read().decode()

    def test_brokers_that_join_through_one_seed_all_see_each_other(self):
        brokers = self.start_mesh(5)
        views = [self.mesh("members", "--json", broker=broker).json for broker in brokers]
        self.assertEqual(len({view["cluster"] for view in views}), 1)
        for view in views:
            self.assertEqual(len({member["broker"] for member in view["members"]}), 5)
            self.assertEqual([member["self"] for member in view["members"]].count(True), 1)
            for member in view["members"]:
                self.assertEqual(set(member), {"name", "broker", "address", "client_address", "state", "incarnation", "zone", "state_ms",
                                               "heard_ms_ago", "rtt_us", "self", "udp_blocked"})
        for broker in brokers:
            self.assertIn(broker.address, [member["address"] for member in views[0]["members"]])
            self.assert_serves(broker)

    def test_the_table_is_for_people(self):
        brokers = self.start_mesh(2)
        text = self.mesh("members", broker=brokers[1]).out.decode()
        self.assertIn("b0 ", text)
        self.assertIn("b1 *", text)
        self.assertIn("2 alive", text)

    def test_a_killed_process_is_dead_everywhere_at_once_and_comes_back_alive(self):
        brokers = self.start_mesh(4)
        victim, rest = brokers[3], brokers[:3]
        self.wait_links(brokers)
        before = self.members(rest[0])["b3"]
        victim.kill()
        wanted = {"b0": "alive", "b1": "alive", "b2": "alive", "b3": "dead"}
        for broker in rest:
            self.wait_members(broker, wanted)
        status = self.mesh("status", "--json", broker=rest[1]).json
        self.assertEqual(status["members"], {"alive": 3, "suspect": 0, "dead": 1, "left": 0})
        self.assertIn("b3", status["problems"][0]["what"])
        # Found by two observers whose links it reset and who found nobody at its address: not by timeouts, which take seconds.
        # (How quick that is is measured by test/bench/run members; here other tests may have the machine.)
        quick = sum("\nmesh_gossip_fast_deaths_total 1\n" in self.http(broker, "/metrics") for broker in rest)
        self.assertGreaterEqual(quick, 2, rest[0].log())
        victim.start()
        for broker in brokers:
            self.wait_members(broker, {f"b{number}": "alive" for number in range(4)})
        after = self.members(rest[0])["b3"]
        self.assertEqual(before["broker"], after["broker"])
        self.assertGreater(after["incarnation"] >> 32, before["incarnation"] >> 32)

    def test_a_stopped_process_is_suspected_then_dead_and_refutes_when_it_goes_on(self):
        brokers = self.start_mesh(3)
        brokers[2].process.send_signal(signal.SIGSTOP)
        try:
            for broker in brokers[:2]:
                self.wait_members(broker, {"b0": "alive", "b1": "alive", "b2": "dead"})
        finally:
            brokers[2].process.send_signal(signal.SIGCONT)
        for broker in brokers:
            self.wait_members(broker, {"b0": "alive", "b1": "alive", "b2": "alive"})

    def test_a_broker_whose_disk_was_set_back_is_a_member_again(self):
        brokers = self.start_mesh(3)
        alive = {f"b{number}": "alive" for number in range(3)}
        victim, copy = brokers[2], self.path("backup")
        self.assertEqual(victim.stop(), 0)
        shutil.copytree(self.path("b2"), copy)
        for _ in range(3):  # boots that the copy knows nothing of, and the mesh does
            victim.start()
            self.wait_members(brokers[0], alive)
            self.assertEqual(victim.stop(), 0)
        before = self.members(brokers[0])["b2"]
        shutil.rmtree(self.path("b2"))
        shutil.copytree(copy, self.path("b2"))
        victim.start()
        begin = time.monotonic()
        while not any("knows more of this broker than its disk" in line for line in victim.lines):
            self.assertLess(time.monotonic() - begin, PATIENCE_S, victim.log())
        for broker in brokers:
            self.wait_members(broker, alive)
        after = self.members(brokers[0])["b2"]
        self.assertEqual(after["broker"], before["broker"])
        self.assertGreater(after["incarnation"] >> 32, before["incarnation"] >> 32)

    def test_leave_is_known_everywhere_and_ends_the_broker(self):
        brokers = self.start_mesh(3)
        done = self.mesh("leave", "--json", broker=brokers[2])
        self.assertEqual(done.json["name"], "b2")
        self.assertEqual(brokers[2].wait(), 0, brokers[2].log())
        for broker in brokers[:2]:
            self.wait_members(broker, {"b0": "alive", "b1": "alive", "b2": "left"})
        brokers[2].start()
        for broker in brokers:
            self.wait_members(broker, {"b0": "alive", "b1": "alive", "b2": "alive"})

    def test_a_founder_that_returns_elsewhere_is_found(self):
        brokers = self.start_mesh(3)
        self.assertEqual(brokers[0].stop(), 0)
        for broker in brokers[1:]:
            self.wait_members(broker, {"b0": "dead", "b1": "alive", "b2": "alive"})
        brokers[0].seeds = [brokers[1].address]  # a port of its own choice again
        brokers[0].start()
        for broker in brokers:
            self.wait_members(broker, {"b0": "alive", "b1": "alive", "b2": "alive"})

    def test_a_broker_that_returns_elsewhere_without_a_seed_finds_its_mesh(self):
        brokers = self.start_mesh(3)
        before = [broker.address for broker in brokers]
        for broker in brokers:
            self.assertEqual(broker.stop(), 0)
            with open(os.path.join(broker.data, "members")) as file:
                self.assertEqual(set(file.read().split("\n")[1:-1]), set(before) - {broker.address})
            broker.seeds = []  # it is told nothing, and chooses another port
            broker.start()
            self.assertNotIn(broker.address, before)
            before[brokers.index(broker)] = broker.address
            for other in brokers:
                self.wait_members(other, {"b0": "alive", "b1": "alive", "b2": "alive"})

    def test_members_are_in_http_and_metrics_too(self):
        brokers = self.start_mesh(2)
        view = json.loads(self.http(brokers[1], "/v1/members"))
        self.assertEqual([(member["name"], member["state"]) for member in view["members"]], [("b0", "alive"), ("b1", "alive")])
        text = self.http(brokers[1], "/metrics")
        self.assertIn('mesh_members{state="alive"} 2', text)
        self.assertIn('mesh_packets_dropped_total{reason="forged"} 0', text)

    def test_watch_prints_what_changes(self):
        brokers = self.start_mesh(2)
        child = self.spawn("members", "--watch", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(len(json.loads(child.stdout.readline())["members"]), 2)
        brokers[1].kill()
        while True:
            states = {member["name"]: member["state"] for member in json.loads(child.stdout.readline())["members"]}
            if states["b1"] == "dead":
                break
        child.send_signal(signal.SIGINT)
        self.finish(child, code=None)

    # ---- ways not to join ----

    def other_user(self):
        """A configuration with a key of its own."""
        folder = self.path("other-config")
        return {"XDG_CONFIG_HOME": folder}

    def join_fails(self, seeds, *words, env=None, data="joiner"):
        full = dict(self.command_environment(), **(env or {}))
        done = subprocess.run([MESH, "join", *seeds, "--data", self.path(data), "--listen", "127.0.0.1:0"], capture_output=True,
                              env=full, timeout=PATIENCE_S)
        text = done.stderr.decode()
        self.assertEqual(done.returncode, 1, text)
        for word in words:
            self.assertIn(word, text)
        return text

    def test_a_wrong_key_is_told(self):
        self.start_broker()
        env = self.other_user()
        key = self.mesh("key", "generate", "--json", env=env).json
        self.assertEqual(os.stat(key["path"]).st_mode & 0o777, 0o600)
        text = self.join_fails([self.broker.address], "another cluster key", key["key_id"], "mesh key show", env=env)
        self.assertNotIn(key["key"], text)

    def test_no_key_is_told(self):
        self.start_broker()
        self.join_fails([self.broker.address], "needs the cluster key", "mesh key show", env=self.other_user())

    def test_a_mistyped_key_and_one_that_others_may_read_are_told(self):
        self.start_broker()
        key = self.mesh("key", "show").out.decode().strip()
        path = self.path("mesh.key")
        wrong = key[:-1] + ("0" if key[-1] != "0" else "1")
        for text, mode, word in ((wrong, 0o600, "typed"), (key, 0o644, "chmod 600")):
            with open(path, "w", encoding="ascii") as file:
                file.write(text + "\n")
            os.chmod(path, mode)
            said = self.join_fails([self.broker.address], word, env={"MESH_KEY_FILE": path})
            self.assertNotIn(text, said)

    def test_another_mesh_is_told(self):
        self.start_broker(self.path("one"))
        one = self.broker
        other = self.new_broker(self.path("two")).start()
        other.stop()
        # A directory of another mesh: it serves, says what is wrong, and never becomes a member.
        other.seeds = [one.address]
        other.start()
        self.assertIsNotNone(other.wait_line("belongs to another mesh"), other.log())
        self.assertEqual(len(self.members(one)), 1)

    def test_what_is_no_mesh_is_told(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            def answer():
                while True:
                    try:
                        peer = server.accept()[0]
                    except OSError:
                        return
                    peer.recv(100)
                    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    peer.close()
            threading.Thread(target=answer, daemon=True).start()
            self.start_broker()  # so that there is a key
            self.join_fails([f"127.0.0.1:{server.getsockname()[1]}"], "not a mesh", "HTTP server")

    def test_a_seed_that_comes_later_is_waited_for(self):
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
        self.start_broker(self.path("key-maker")).stop()
        joiner = self.new_broker(self.path("joiner"), seeds=[f"127.0.0.1:{port}"], options=["--name", "joiner"])
        joiner.launch()
        self.assertIsNotNone(joiner.wait_line(f"nobody listens at 127.0.0.1:{port}"), joiner.log())
        seed = self.start_broker(self.path("seed"), listen=f"127.0.0.1:{port}", options=["--name", "seed"])
        self.assertIsNotNone(joiner.wait_line("mesh: ready on "), joiner.log())
        self.wait_members(seed, {"seed": "alive", "joiner": "alive"})

    def test_a_name_that_does_not_resolve_is_waited_for(self):
        self.start_broker()
        joiner = self.new_broker(self.path("joiner"), seeds=["no-such-host.invalid:1"])
        joiner.launch()
        self.assertIsNotNone(joiner.wait_line("waiting for the name no-such-host.invalid:1"), joiner.log())
        joiner.process.terminate()
        joiner.process.wait(PATIENCE_S)

    def test_a_broker_on_loopback_is_told_that_no_other_machine_is_in_reach(self):
        self.start_broker()  # so that there is a key
        self.join_fails(["192.0.2.77:9092"], "192.0.2.77:9092 cannot be reached from the loopback address", "--listen 0.0.0.0")

    def test_a_wait_is_told_once_per_seed_however_long_it_takes(self):
        self.start_broker()  # so that there is a key
        closed = []
        for _ in range(2):
            with socket.create_server(("127.0.0.1", 0)) as holder:
                closed.append(f"127.0.0.1:{holder.getsockname()[1]}")
        with socket.create_server(("127.0.0.1", 0)) as server:
            joiner = self.new_broker(self.path("joiner"), seeds=[*closed, f"127.0.0.1:{server.getsockname()[1]}"])
            joiner.launch()
            for _ in range(4):  # rounds
                server.accept()[0].close()
            for address in closed:
                self.assertEqual(sum(f"nobody listens at {address}" in line for line in joiner.lines), 1, joiner.log())
            joiner.process.terminate()
            joiner.process.wait(PATIENCE_S)

    def test_an_identity_that_is_used_twice_is_told(self):
        brokers = self.start_mesh(2)
        self.assertEqual(brokers[1].stop(), 0)
        shutil.copytree(brokers[1].data, self.path("copy"))
        brokers[1].start()
        self.wait_members(brokers[0], {"b0": "alive", "b1": "alive"})
        self.new_broker(self.path("copy"), seeds=[brokers[0].address]).start()
        self.assertIsNotNone(brokers[0].wait_line("two processes use the identity"), brokers[0].log())

    def test_a_copy_that_starts_later_is_told_too(self):
        brokers = self.start_mesh(2)
        self.assertEqual(brokers[1].stop(), 0)
        brokers[1].start()
        copy = self.path("copy")
        shutil.copytree(brokers[1].data, copy, ignore=shutil.ignore_patterns("ready.json"))
        self.new_broker(copy, seeds=[brokers[0].address]).start()
        self.assertIsNotNone(brokers[0].wait_line("two processes use the identity"), brokers[0].log())

    def test_an_advertised_port_is_the_one_that_clients_are_told(self):
        self.start_broker(options=["--name", "b0", "--advertise", "localhost:1234"])
        self.assertEqual(self.members(self.broker)["b0"]["client_address"], "localhost:1234")
        self.assertEqual(self.members(self.broker)["b0"]["address"], "127.0.0.1:1234")

    def test_a_port_of_UDP_that_is_taken_leaves_the_links(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
            with socket.create_server(("127.0.0.1", 0)) as free:  # a number that nobody has for TCP
                holder.bind(free.getsockname())
            first = self.start_broker(self.path("b0"), options=["--name", "b0"])
            second = self.start_broker(self.path("b1"), listen=f"127.0.0.1:{holder.getsockname()[1]}", seeds=[first.address],
                                       options=["--name", "b1"])
            wanted = {"b0": "alive", "b1": "alive"}
            self.wait_members(second, wanted)
            begin = time.monotonic()
            while not self.members(first)["b1"]["udp_blocked"]:
                self.assertLess(time.monotonic() - begin, PATIENCE_S)
            for broker in (first, second):
                self.wait_members(broker, wanted)
                self.assertIn("mesh_gossip_deaths_total 0", self.http(broker, "/metrics"))

    def test_addresses_of_IPv6_and_of_both_families(self):
        if not socket.has_ipv6:
            self.skipTest("no IPv6")
        first = self.start_broker(self.path("b0"), listen="[::1]:0", options=["--name", "b0"])
        both = self.start_broker(self.path("b1"), listen="[::]:0", seeds=[first.address], options=["--name", "b1"])
        self.wait_members(first, {"b0": "alive", "b1": "alive"})
        port = both.address.rsplit(":", 1)[1]
        self.assertEqual(self.members(first)["b1"]["address"], f"[::1]:{port}")  # learned from who has seen it
        self.start_broker(self.path("b2"), listen="127.0.0.1:0", seeds=[f"127.0.0.1:{port}"], options=["--name", "b2"])
        self.wait_members(both, {"b0": "alive", "b1": "alive", "b2": "alive"})

    def test_no_seed_at_all_is_wrong_usage(self):
        self.mesh("join", code=2)
        self.mesh("join", "host:0", "--data", self.path("x"), code=2)

    # ---- keys ----

    def test_the_key_is_rotated_while_all_run(self):
        env = self.other_user()
        self.mesh("key", "generate", env=env)
        brokers = []
        for number in range(3):
            own = dict(env, MESH_KEY_FILE=self.path(f"key{number}"))  # each its own file, as on machines of their own
            shutil.copy(self.path("other-config", "mesh", "key"), own["MESH_KEY_FILE"])
            brokers.append(self.start_broker(self.path(f"b{number}"), seeds=[brokers[0].address] if brokers else [],
                                             options=["--name", f"b{number}"], env=own))
        wanted = {f"b{number}": "alive" for number in range(3)}
        for broker in brokers:
            self.wait_members(broker, wanted)
        old = self.mesh("key", "list", "--json", broker=brokers[0]).json["keys"]
        self.assertEqual([(key["holders"], key["members"], key["in_use"]) for key in old], [(3, 3, True)])
        new = self.mesh("key", "rotate", "--json", broker=brokers[1]).json
        self.assertIsNone(new["rotation"])
        self.assertEqual([(key["holders"], key["in_use"]) for key in new["keys"]], [(3, True)])
        self.assertNotEqual(new["keys"][0]["key_id"], old[0]["key_id"])
        for broker in brokers:
            self.assertEqual({name: member["state"] for name, member in self.members(broker).items()}, wanted)
        # The files have it too: a broker that starts again is one of them, and the old key is worthless.
        self.assertEqual(brokers[2].stop(), 0)
        brokers[2].start()
        self.wait_members(brokers[0], wanted)
        self.join_fails([brokers[0].address], "another cluster key", env=env)

    def test_a_key_file_that_cannot_be_written_is_named(self):
        path = self.path("mesh.key")
        self.mesh("key", "generate", "--key-file", path)
        self.start_broker(env={"MESH_KEY_FILE": path})
        os.remove(path)
        done = self.mesh("key", "rotate", code=1)
        self.assertIn(path, done.err.decode())
        self.assertEqual(len(self.mesh("key", "list", "--json").json["keys"]), 1)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What a service manager is told, by sd_notify(3)'s protocol: a socket of ours stands for systemd's."""
import os
import signal
import socket
import subprocess

from harness import MESH, environment, main
from mesh_case import MeshCase
from addresses import free_addresses

PATIENCE_S = 60  # a limit is for what hangs


class Manager:
    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name)
        self.socket.settimeout(PATIENCE_S)

    def hear(self):
        """The assignments of the next message."""
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().split("\n"))


class Service(MeshCase):
    def manager(self, name=None):
        manager = Manager(name or self.path("notify"))
        self.addCleanup(manager.socket.close)
        return manager

    def hear_until(self, manager, key):
        while True:
            said = manager.hear()
            if key in said:
                return said

    def test_ready_and_stopping_are_told(self):
        manager = self.manager()
        broker = self.start_broker(env={"NOTIFY_SOCKET": self.path("notify")})
        said = manager.hear()
        self.assertEqual((said["READY"], said["STATUS"]), ("1", f"serving on {broker.address}"))
        broker.process.send_signal(signal.SIGTERM)
        self.assertEqual(manager.hear()["STOPPING"], "1")
        self.assertEqual(broker.wait(), 0)

    def test_an_abstract_socket_and_the_watchdog(self):
        name = f"mesh-test-{os.getpid()}"
        manager = self.manager("\0" + name)
        self.start_broker(env={"NOTIFY_SOCKET": "@" + name, "WATCHDOG_USEC": "100000"})
        self.assertEqual(manager.hear()["READY"], "1")
        for _ in range(3):
            self.assertEqual(manager.hear(), {"WATCHDOG": "1"})

    def test_a_watchdog_of_another_process_is_not_fed(self):
        manager = self.manager()
        broker = self.start_broker(env={"NOTIFY_SOCKET": self.path("notify"), "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})
        self.assertEqual(manager.hear()["READY"], "1")
        self.assert_serves()  # long beyond 1 ms
        self.assertEqual(broker.stop(), 0)
        self.assertEqual(manager.hear().get("STOPPING"), "1")

    def test_one_that_waits_for_others_is_not_ready_and_says_for_what(self):
        manager = self.manager()
        addresses = free_addresses(3)
        brokers = [self.new_broker(self.path(f"b{i}"), listen=addresses[i], seeds=addresses, options=["--expect", "3"],
                                   env={"NOTIFY_SOCKET": self.path("notify")} if i == 0 else None) for i in range(3)]
        brokers[0].launch()
        said = manager.hear()
        self.assertNotIn("READY", said)
        self.assertNotEqual(said["STATUS"], "")
        for broker in brokers[1:]:
            broker.launch()
        self.hear_until(manager, "READY")
        for broker in brokers:
            self.wait_ready(broker)

    def ask(self, address, words):
        """The whole answer to these bytes; what comes until the broker hangs up."""
        host, port = address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as client:
            client.sendall(words)
            answer = b""
            while True:
                try:
                    more = client.recv(65536)
                except ConnectionResetError:
                    return answer
                if not more:
                    return answer
                answer += more

    def test_probes_are_answered_while_a_mesh_is_looked_for(self):
        """By one that only joins, and by one that may found; whoever wants to be served is sent away, and nobody is in a prober's way."""
        addresses = free_addresses(3)
        key = self.path("key")
        self.mesh("key", "generate", "--key-file", key)
        joiner = self.new_broker(self.path("joiner"), listen=addresses[0], seeds=[addresses[2]], options=["--key-file", key])
        founder = self.new_broker(self.path("founder"), listen=addresses[1], seeds=addresses[1:], options=["--key-file", key, "--expect", "2"])
        for broker, address in (joiner, addresses[0]), (founder, addresses[1]):
            broker.launch()
            self.assertIsNotNone(broker.wait_line("nobody listens at"), broker.log())
            silent = [socket.create_connection(address.rsplit(":", 1), timeout=PATIENCE_S) for _ in range(20)]
            alive = self.ask(address, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertTrue(alive.startswith(b"HTTP/1.1 200 ") and alive.endswith(b"\r\n\r\nalive\n"), alive)
            self.assertIn(b"Content-Length: 6\r\n", alive)
            ready = self.ask(address, b"GET /readyz?verbose HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertTrue(ready.startswith(b"HTTP/1.1 503 ") and ready.endswith(b"not ready: this broker looks for its mesh\n"), ready)
            self.assertTrue(self.ask(address, b"HEAD /livez HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\n"))
            self.assertTrue(self.ask(address, b"GET /livezzz HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 503 "))
            self.assertTrue(self.ask(address, b"GET /" + b"x" * 4000).startswith(b"HTTP/1.1 503 "))
            for other in b"MESH\x01\0\0\0", b"\0\0\0\x10\0\x12\0\x03", b"\x16\x03\x01\x02\0", b"POST / HTTP/1.1\r\n\r\n":
                self.assertEqual(self.ask(address, other), b"")
            for each in silent:
                each.close()
        seed = self.new_broker(self.path("seed"), listen=addresses[2], seeds=addresses[1:], options=["--key-file", key, "--expect", "2"])
        seed.launch()
        for broker in seed, founder, joiner:
            self.wait_ready(broker)

    def test_a_manager_that_is_not_there_is_told_of_and_does_no_harm(self):
        for name in self.path("nobody"), "relative", "/" + "x" * 200:
            broker = self.start_broker(env={"NOTIFY_SOCKET": name})
            self.assertTrue(any("service manager cannot be told" in line for line in broker.lines), broker.log())
            self.assert_serves()
            self.assertEqual(broker.stop(), 0)

    def test_a_start_that_fails_is_never_ready(self):
        manager = self.manager()
        done = subprocess.run([MESH, "serve", "--data", self.path("data"), "--listen", "256.0.0.1:0"], capture_output=True, timeout=PATIENCE_S,
                              env=environment({"NOTIFY_SOCKET": self.path("notify")}), check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        manager.socket.setblocking(False)
        with self.assertRaises(BlockingIOError):
            manager.hear()


if __name__ == "__main__":
    main()

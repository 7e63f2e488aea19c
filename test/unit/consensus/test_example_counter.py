"""The example of consensus: three processes keep one counter while their leader is killed and comes back. What was acknowledged is
counted, nothing is counted twice, and all three agree in the end, also after all of them were killed."""
import os
import select
import socket
import subprocess
import tempfile
import time
import unittest

COUNTER = os.environ["EXAMPLE_COUNTER"]
SERVERS = (1, 2, 3)
PATIENCE_S = 60  # for one answer, on a machine that does much else


class Server:
    def __init__(self, folder, number):
        self.folder, self.number, self.process, self.port = folder, number, None, None

    def start(self):
        self.process = subprocess.Popen([COUNTER, self.folder, str(self.number)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
        line = self.process.stdout.readline() if ready else b""
        if not line.startswith(b"port "):
            raise AssertionError(f"server {self.number} did not start: {self.kill().decode()}")
        self.port = int(line.split()[1])

    def kill(self):
        """SIGKILL: the process has no chance to say or write anything more."""
        if self.process is None:
            return b""
        self.process.kill()
        _, errors = self.process.communicate()
        self.process = None
        return errors


class Client:
    """Asks whoever leads; one request at a time."""

    def __init__(self, servers):
        self.servers, self.leader, self.dead, self.sockets = servers, 1, 0, {}

    def send(self, number, line):
        if number not in self.sockets:
            link = socket.create_connection(("127.0.0.1", self.servers[number].port), timeout=PATIENCE_S)
            self.sockets[number] = link
        self.sockets[number].sendall(line.encode() + b"\n")

    def ask(self, number, line):
        self.send(number, line)
        return self.hear(number)

    def hear(self, number):
        answer = b""
        while not answer.endswith(b"\n"):
            part = self.sockets[number].recv(200)
            if not part:
                raise ConnectionError("closed")
            answer += part
        word, value = answer.decode().rsplit(" ", 1)
        return word, int(value)

    def forget(self, number):
        if number in self.sockets:
            self.sockets.pop(number).close()

    def ask_leader(self, what):
        """Follows the pointers until somebody does it. Servers hold a request back while they know of no leader but the dead one."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            word, value = self.ask(self.leader, f"{what} {self.dead}")
            if word != "leader":
                return word, value
            self.leader = value
        raise AssertionError(f"no leader for {PATIENCE_S} s")

    def close(self):
        for number in list(self.sockets):
            self.forget(number)


class Counter(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.servers = {number: Server(self.folder.name, number) for number in SERVERS}
        for server in self.servers.values():
            server.start()
        self.client = Client(self.servers)
        self.acknowledged = self.unknown = 0

    def tearDown(self):
        self.client.close()
        for server in self.servers.values():
            server.kill()
        self.folder.cleanup()

    def add(self, times):
        for amount in range(1, times + 1):
            word, _ = self.client.ask_leader(f"add {amount}")
            if word == "ok":
                self.acknowledged += amount
            else:
                self.assertIn(word, ("lost", "unknown"))
                self.unknown += amount if word == "unknown" else 0

    def kill_leader(self):
        """While it works on something: of that one nobody knows whether it is counted."""
        number = self.client.leader
        self.client.send(number, "add 1000 0")
        self.servers[number].kill()
        try:
            word, _ = self.client.hear(number)
        except ConnectionError:
            word = "unknown"
        if word == "ok":
            self.acknowledged += 1000
        else:
            self.unknown += 1000
        self.client.forget(number)
        self.client.dead = number
        self.client.leader = next(other for other in SERVERS if other != number)
        return number

    def check_agreement(self):
        word, value = self.client.ask_leader("get")
        self.assertEqual(word, "value")
        self.assertGreaterEqual(value, self.acknowledged)
        self.assertLessEqual(value, self.acknowledged + self.unknown)
        for number in SERVERS:
            self.assertEqual(self.client.ask(number, f"reach {value}"), ("value", value), f"server {number}")
        return value

    def test_leader_is_killed_and_comes_back(self):
        self.add(80)
        for _ in range(2):
            killed = self.kill_leader()
            self.add(120)  # enough that the others compact their logs
            self.servers[killed].start()
            self.client.dead = 0
            self.add(20)
            self.check_agreement()
        value = self.check_agreement()
        self.client.close()
        for server in self.servers.values():
            server.kill()
        for server in self.servers.values():
            server.start()
        self.assertEqual(self.check_agreement(), value)


if __name__ == "__main__":
    unittest.main()

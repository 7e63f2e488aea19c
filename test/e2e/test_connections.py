#!/usr/bin/env python3
"""Many connections, slow ones and silent ones, while others work."""
import resource
import select
import socket
import subprocess
import threading

from harness import Case, COMMAND_SECONDS, main, text_lines

SILENT = 10_000


class Connections(Case):
    def test_ten_thousand_that_never_speak(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = SILENT + 500
        if hard != resource.RLIM_INFINITY and hard < wanted:
            self.skipTest(f"the limit of open files is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))  # inherited by the broker
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.start_broker(options=["--set", "connections.max=20000"])
        before = self.broker.memory_kib()
        peers = [self.connect() for _ in range(SILENT)]
        try:
            text = b"\n".join(text_lines(5000)) + b"\n"
            self.mesh("produce", "t", stdin=text)
            self.assertEqual(self.mesh("consume", "t", "--until-end").out, text)
            self.assertEqual(self.mesh("status", "--json").json["problems"], [])
            growth = self.broker.memory_kib() - before
            self.assertLess(growth, 200 * 1024, "KiB for 10,000 silent connections")
        finally:
            for peer in peers:
                peer.close()
        self.assert_serves()

    def test_more_connections_than_allowed_are_turned_away(self):
        self.start_broker(options=["--set", "connections.max=50"])
        peers = [self.connect() for _ in range(200)]
        closed, waiting = 0, list(peers)
        while closed < 100:  # the limit is for what hangs: ctest's
            for peer in select.select(waiting, [], [])[0]:
                waiting.remove(peer)
                closed += 1
                try:
                    self.assertEqual(peer.recv(1), b"")
                except ConnectionResetError:
                    pass
        for peer in peers:
            peer.close()
        self.mesh("status", code=0)

    def test_reader_that_stops_reading_holds_up_nobody(self):
        self.start_broker()
        text = b"\n".join(text_lines(200_000)) + b"\n"
        self.mesh("produce", "big", stdin=text)
        slow = self.spawn("consume", "big", "--until-end", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(slow.stdout.readline(), text[: text.index(b"\n") + 1])
        for _ in range(3):
            self.assertEqual(self.mesh("consume", "big", "--until-end").out, text)
        self.mesh("produce", "big", stdin=b"more\n")
        self.assertLess(self.broker.memory_kib(), 600 * 1024)
        rest = slow.stdout.read()
        self.assertEqual(slow.wait(COMMAND_SECONDS), 0)
        self.assertEqual(text[: text.index(b"\n") + 1] + rest, text)

    def test_many_clients_at_once(self):
        self.start_broker()
        self.mesh("topic", "create", "shared", "--partitions", "4")
        failures = []

        def produce(number):
            try:
                self.mesh("produce", "shared", stdin=b"".join(b"%d:%d\n" % (number, n) for n in range(2000)))
            except AssertionError as failure:
                failures.append(failure)

        threads = [threading.Thread(target=produce, args=(n,)) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(COMMAND_SECONDS)
        self.assertEqual(failures, [])
        lines = self.mesh("consume", "shared", "--until-end").out.splitlines()
        self.assertEqual(sorted(lines), sorted(b"%d:%d" % (c, n) for c in range(12) for n in range(2000)))

    def test_half_closed_and_byte_by_byte(self):
        self.start_broker()
        request = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        with self.connect() as peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in request:
                peer.sendall(bytes([byte]))
            answer = b""
            while part := peer.recv(4096):
                answer += part
        self.assertTrue(answer.startswith(b"HTTP/1.1 200"), answer)


if __name__ == "__main__":
    main()

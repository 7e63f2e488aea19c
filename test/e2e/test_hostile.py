#!/usr/bin/env python3
"""Peers that mean no good: forged, replayed, truncated, oversized and flipped packets, and connections that only look like links."""
import random
import re
import socket
import time
from urllib.request import urlopen

from harness import Case, main

PATIENCE_S = 60


class Hostile(Case):
    def metrics(self, broker):
        with urlopen(f"http://{broker.address}/metrics", timeout=60) as answer:
            return answer.read().decode()

    def value(self, broker, name):
        return int(float(re.search(rf"^{re.escape(name)} ([0-9.e+]+)$", self.metrics(broker), re.M).group(1)))

    def wait_value(self, broker, name, least):
        end = time.monotonic() + PATIENCE_S
        while self.value(broker, name) < least:
            self.assertLess(time.monotonic(), end, f"{name} stays below {least}:\n{self.metrics(broker)}")

    def members(self, broker):
        return {m["name"]: (m["state"], m["incarnation"], m["address"])
                for m in self.mesh("members", "--json", broker=broker).json["members"]}

    def start_pair(self):
        one = self.start_broker(self.path("one"), options=["--name", "one"])
        two = self.new_broker(self.path("two"), seeds=[one.address], options=["--name", "two"]).start()
        end = time.monotonic() + PATIENCE_S
        while len(self.members(one)) < 2 or len(self.members(two)) < 2:
            self.assertLess(time.monotonic(), end, one.log())
        return one, two

    def test_garbage_is_dropped_counted_and_logged_once_a_second(self):
        one, _ = self.start_pair()
        before = self.members(one)
        host, port = one.address.rsplit(":", 1)
        generator, begin = random.Random(7), time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.9", 0))
            sent = 0
            for size in [0, 1, 3, 4, 39, 40, 55, 56, 57, 100, 1232, 1400, 1500, 1501, 9000, 60000] * 20:
                udp.sendto(generator.randbytes(size), (host, int(port)))
                sent += 1
                if sent % 50 == 0:
                    self.metrics(one)  # the kernel's buffer is bounded, and loss is not what is tested
        self.wait_value(one, 'mesh_packets_dropped_total{reason="not_ours"}', 1)
        self.wait_value(one, "mesh_udp_oversized_total", 1)
        self.assertEqual(self.members(one), before)
        self.assertLess(len([line for line in one.lines if "dropped a packet" in line and "127.0.0.9" in line]), 10 + time.monotonic() - begin)
        self.assert_serves(one)

    def test_connections_that_only_look_like_links_harm_nobody(self):
        one, two = self.start_pair()
        before = self.members(one)
        generator = random.Random(8)
        for body in [b"MLNK", b"MLNK\0", b"MLNK" + b"\xff" * 300, b"MLNK" + b"\0" * 300] + \
                    [b"MLNK" + generator.randbytes(generator.randrange(400)) for _ in range(200)]:
            with self.connect(one) as link:
                link.sendall(body)
                link.shutdown(socket.SHUT_WR)
                link.settimeout(PATIENCE_S)
                try:
                    while link.recv(4096):
                        pass
                except ConnectionResetError:
                    pass
        self.assertEqual(self.members(one), before)
        self.wait_value(one, "mesh_links_rejected_total", 1)
        self.assert_serves(one)

    def test_links_that_never_speak_on_are_closed(self):
        one, _ = self.start_pair()
        links = [self.connect(one) for _ in range(50)]
        for link in links:
            link.sendall(b"MLNK")
        for link in links:
            link.settimeout(PATIENCE_S)
            try:
                while link.recv(4096):
                    pass
            except ConnectionResetError:
                pass
            link.close()
        self.assert_serves(one)

    def test_packets_of_a_mesh_that_are_flipped_cut_or_sent_again_change_nothing(self):
        """A broker is told that a member lives where we listen, so that real packets come here; then they are sent on, spoilt."""
        one = self.start_broker(self.path("one"), options=["--name", "one"])
        host, port = one.address.rsplit(":", 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
            ear.bind(("127.0.0.1", 0))
            ear.settimeout(PATIENCE_S)
            here = f"127.0.0.1:{ear.getsockname()[1]}"
            two = self.new_broker(self.path("two"), seeds=[one.address], options=["--name", "two", "--advertise", here]).start()
            packets = [ear.recv(2048) for _ in range(8)]  # what `one` sends to `two`
            self.assertTrue(all(len(packet) > 56 for packet in packets))
            before = {name: value[1] for name, value in self.members(two).items()}
            target = two.address.rsplit(":", 1)
            aim = (target[0], int(target[1]))
            forged = self.value(two, 'mesh_packets_dropped_total{reason="forged"}')
            generator = random.Random(9)
            for packet in packets:
                for _ in range(20):
                    spoilt = bytearray(packet)
                    spoilt[generator.randrange(40, len(spoilt))] ^= 1 << generator.randrange(8)
                    ear.sendto(bytes(spoilt), aim)
                    ear.sendto(packet[:generator.randrange(57, len(packet))], aim)
                self.metrics(two)  # so that it takes them before the next come
            self.wait_value(two, 'mesh_packets_dropped_total{reason="forged"}', forged + 100)
            for packet in packets:
                for _ in range(10):
                    ear.sendto(packet, aim)
            self.wait_value(two, 'mesh_packets_dropped_total{reason="replayed"}', 50)
            self.assertEqual(set(self.members(two)), set(before))
        self.assert_serves(two)


if __name__ == "__main__":
    main()

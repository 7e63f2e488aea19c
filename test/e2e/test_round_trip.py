#!/usr/bin/env python3
"""Bytes in, bytes out: every format, keys, headers, nulls, compression, places to start, pipes."""
import base64
import json
import os
import random
import socket
import struct
import subprocess
import time

from harness import Case, COMMAND_SECONDS, MESH, text_lines, main


def prefixed(records):
    return b"".join(struct.pack(">I", len(r)) + r for r in records)


class RoundTrip(Case):
    def setUp(self):
        super().setUp()
        self.start_broker()

    def consume(self, topic, *options):
        return self.mesh("consume", topic, "--until-end", *options).out

    def test_lines_of_a_large_text(self):
        text = b"\n".join(text_lines(60000)) + b"\n"
        self.assertGreater(len(text), 6_000_000)
        with open(self.path("in.txt"), "wb") as file:
            file.write(text)
        facts = self.mesh("produce", "large", "--json", self.path("in.txt")).json
        self.assertEqual((facts["records"], facts["failed"], facts["unknown"]), (60000, 0, 0))
        self.assertEqual(facts["bytes"], len(text) - 60000)
        self.assertTrue(facts["final_newline"])
        self.assertEqual(facts["replicas_synced"], 1)
        self.assertEqual(facts["partitions"], [{"partition": 0, "records": 60000, "first_offset": 0, "last_offset": 59999,
                                                "replicas_holding": 1, "replicas_synced": 1}])
        self.assertEqual(self.consume("large"), text)

    def test_every_codec(self):
        text = b"\n".join(text_lines(3000, seed=2)) + b"\n"
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            with self.subTest(codec):
                self.mesh("produce", f"codec-{codec}", "--compression", codec, stdin=text)
                self.assertEqual(self.consume(f"codec-{codec}"), text)

    def test_every_acks(self):
        for acks in ("all", "-1", "1", "0"):
            with self.subTest(acks):
                facts = self.mesh("produce", f"acks{acks}", "--acks", acks, "--json", "--timeout", "60s", stdin=b"a\nb\n").json
                self.assertLess(facts["seconds"], 60, "nobody waits for answers that do not come")
                self.assertEqual((facts["records"], facts["failed"]), (2, 0))
                self.assertEqual(self.mesh("consume", f"acks{acks}", "--count", "2", "--timeout", "60s").out, b"a\nb\n")

    def test_closed_standard_streams_never_become_sockets_or_files(self):
        self.mesh("produce", "closed", stdin=b"kept\n" * 100)
        environ = self.command_environment()
        for line, code in [('exec "$0" consume closed --until-end >&-', 1), ('exec "$0" consume closed --until-end >&- <&-', 1),
                           ('exec "$0" produce closed --quiet <&-', 1), ('exec "$0" status >&- 2>&- <&-', 1)]:
            with self.subTest(line):
                done = subprocess.run(["sh", "-c", line, MESH], env=environ, capture_output=True, timeout=COMMAND_SECONDS)
                self.assertEqual(done.returncode, code, done)
        self.assertEqual(self.consume("closed"), b"kept\n" * 100)

    def test_broker_without_standard_streams_keeps_its_files_whole(self):
        with socket.socket() as probe:  # nobody can read the ready line: a port that was free a moment ago
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        broker = subprocess.Popen(["sh", "-c", 'exec "$0" serve --data "$1" --listen "127.0.0.1:$2" <&- >&- 2>&-', MESH, self.path("bare"),
                                   str(port)], env=self.command_environment())
        self.children.append(broker)
        address = f"127.0.0.1:{port}"
        self.mesh("produce", "t", "--broker", address, "--timeout", "60s", stdin=b"one\n" * 1000)
        broker.terminate()
        self.assertEqual(broker.wait(COMMAND_SECONDS), 0)
        again = self.new_broker(self.path("bare")).start()
        self.assertEqual(self.mesh("consume", "t", "--until-end", broker=again).out, b"one\n" * 1000)
        self.assertFalse([line for line in again.lines if "corrupt" in line or "damage" in line])

    def test_trouble_with_local_files_is_not_blamed_on_the_broker(self):
        result = self.mesh("produce", "t", "--receipts", "/dev/full", "--json", stdin=b"x\n", code=1)
        self.assertIn(b"writing receipts: no space left", result.err)
        self.assertNotIn(b"broker's disk", result.err)
        self.assertEqual((result.json["records"], result.json["error"]["name"]), (1, "FULL"))
        self.assertIn(b"directory", self.mesh("produce", "t", self.folder, code=1).err.lower())

    def test_missing_final_newline(self):
        facts = self.mesh("produce", "t", "--json", stdin=b"one\ntwo").json
        self.assertFalse(facts["final_newline"])
        self.assertEqual(self.consume("t"), b"one\ntwo\n")
        for text in (b"one\ntwo", b"one\n\n\ntwo\n", b"\n", b"x"):
            topic = f"raw-{text.hex()}"
            self.mesh("produce", topic, "--keep-newlines", stdin=text)
            self.assertEqual(self.consume(topic, "--format", "raw"), text)

    def test_empty_input_is_no_record(self):
        self.assertEqual(self.mesh("produce", "empty", "--json").json["records"], 0)
        self.assertEqual(self.consume("empty"), b"")

    def test_binary_records_with_length_prefix(self):
        generator = random.Random(3)
        records = [generator.randbytes(generator.choice((0, 1, 10, 1000, 70000))) for _ in range(500)]
        self.mesh("produce", "binary", "--format", "length-prefixed", stdin=prefixed(records))
        self.assertEqual(self.consume("binary", "--format", "length-prefixed"), prefixed(records))

    def test_truncated_length_prefix_is_told(self):
        result = self.mesh("produce", "cut", "--format", "length-prefixed", stdin=prefixed([b"whole"]) + b"\0\0\0\7cut", code=1)
        self.assertIn(b"the input ends inside a length-prefixed record", result.err)
        self.assertEqual(self.consume("cut"), b"whole\n")

    def test_files(self):
        os.mkdir(self.path("in")), os.mkdir(self.path("out"))
        contents = {"a.bin": os.urandom(200_000), "empty": b"", "text": b"line\nline"}
        for name, content in contents.items():
            with open(self.path("in", name), "wb") as file:
                file.write(content)
        self.mesh("produce", "files", "--format", "files", *[self.path("in", n) for n in contents])
        self.consume("files", "--format", "files", "--output", self.path("out"))
        self.assertEqual(sorted(os.listdir(self.path("out"))), ["0-0", "0-1", "0-2"])
        for offset, content in enumerate(contents.values()):
            with open(self.path("out", f"0-{offset}"), "rb") as file:
                self.assertEqual(file.read(), content)
        rows = [json.loads(row) for row in self.consume("files", "--json").splitlines()]
        self.assertEqual([row["headers"] for row in rows], [[{"key": "filename", "value": n}] for n in contents])
        self.mesh("produce", "files", "--format", "files", self.path("in", "absent"), code=1)

    def test_keys_there_and_back(self):
        text = b"k1\tv1\nno key\n\tempty key\nk2\t\nk3\ttab\tinside\n"
        self.mesh("produce", "keys", "--key-delimiter", "\\t", stdin=text)
        self.assertEqual(self.consume("keys", "--keys"), text)
        rows = [json.loads(row) for row in self.consume("keys", "--json").splitlines()]
        self.assertEqual([(row["key"], row["value"]) for row in rows],
                         [("k1", "v1"), (None, "no key"), ("", "empty key"), ("k2", ""), ("k3", "tab\tinside")])

    def test_nulls_and_headers_and_bytes_in_json(self):
        self.mesh("produce", "j", "--key-delimiter", ":", "--null-marker", "NULL", "--header", "trace=1", "--header", "a=b=c",
                  stdin=b"k:NULL\nk:\xff\xfe\n\xc3:ok\n")
        before = int(time.time() * 1000)
        rows = [json.loads(row) for row in self.consume("j", "--json").splitlines()]
        self.assertEqual([row["offset"] for row in rows], [0, 1, 2])
        self.assertTrue(all(row["topic"] == "j" and row["partition"] == 0 for row in rows))
        self.assertTrue(all(abs(row["timestamp"] - before) < 600_000 for row in rows))
        self.assertIsNone(rows[0]["value"])
        self.assertEqual(base64.b64decode(rows[1]["value_base64"]), b"\xff\xfe")
        self.assertEqual(base64.b64decode(rows[2]["key_base64"]), b"\xc3")
        self.assertEqual(rows[0]["headers"], [{"key": "trace", "value": "1"}, {"key": "a", "value": "b=c"}])
        self.assertEqual(self.consume("j", "--keys", "--key-delimiter", ":", "--null-marker", "NULL").splitlines()[0], b"k:NULL")

    def test_partitions_keep_keys_together_and_order(self):
        self.mesh("topic", "create", "spread", "--partitions", "8")
        lines = [f"key{n % 50}:{n}".encode() for n in range(5000)]
        facts = self.mesh("produce", "spread", "--key-delimiter", ":", "--json", stdin=b"\n".join(lines) + b"\n").json
        self.assertEqual(sum(p["records"] for p in facts["partitions"]), 5000)
        self.assertGreater(len(facts["partitions"]), 4)
        rows = [json.loads(row) for row in self.consume("spread", "--json").splitlines()]
        self.assertEqual(len(rows), 5000)
        homes, last = {}, {}
        for row in rows:
            self.assertEqual(homes.setdefault(row["key"], row["partition"]), row["partition"])
            self.assertGreater(int(row["value"]), last.get(row["key"], -1))
            last[row["key"]] = int(row["value"])
        one = self.mesh("consume", "spread", "--partition", "3", "--until-end", "--json").out.splitlines()
        self.assertEqual([json.loads(r)["offset"] for r in one], list(range(len(one))))
        failed = self.mesh("produce", "spread", "--partition", "8", stdin=b"nowhere\n", code=1).err.decode()
        self.assertIn("there is no partition 8; the topic has 8, from 0 on", failed)
        self.mesh("produce", "spread", "--partition", "5", stdin=b"here\n")
        self.assertEqual(self.mesh("consume", "spread", "--partition", "5", "--from", "offset:-1", "--until-end").out, b"here\n")

    def test_places_to_start(self):
        self.mesh("produce", "from", stdin=b"".join(b"%d\n" % n for n in range(100)))
        for start, want in [("beginning", range(100)), ("end", ()), ("offset:97", (97, 98, 99)), ("offset:-2", (98, 99)),
                            ("offset:-1000", range(100)), ("offset:100", ()), ("time:-1h", range(100)), ("time:0", range(100))]:
            with self.subTest(start):
                self.assertEqual(self.consume("from", "--from", start), b"".join(b"%d\n" % n for n in want))
        self.assertEqual(self.mesh("consume", "from", "--count", "3").out, b"0\n1\n2\n")
        self.assertEqual(self.mesh("consume", "from", "--count", "0").out, b"")
        for seconds in (1, 4, 16, 64):  # the machine may be slow
            late = self.mesh("consume", "from", "--from", "offset:98", "--count", "5", "--timeout", f"{seconds}s", code=4).out
            if late != b"":
                break
        self.assertEqual(late, b"98\n99\n")
        result = self.mesh("consume", "from", "--from", "offset:101", "--until-end", code=1)
        self.assertIn(b"offset out of range", result.err)

    def test_start_at_a_time_between_records(self):
        self.mesh("produce", "timed", stdin=b"early\n")
        row = json.loads(self.consume("timed", "--json"))
        while time.time() * 1000 <= row["timestamp"] + 1:  # the next millisecond, so that the records differ in time
            pass
        self.mesh("produce", "timed", stdin=b"late\n")
        later = json.loads(self.consume("timed", "--json").splitlines()[1])["timestamp"]
        self.assertEqual(self.consume("timed", "--from", f"time:{later}"), b"late\n")
        self.assertEqual(self.consume("timed", "--from", f"time:{row['timestamp']}"), b"early\nlate\n")
        self.assertEqual(self.consume("timed", "--from", f"time:{later + 3_600_000}"), b"")

    def test_slow_pipe_is_sent_as_it_comes(self):
        consumer = self.spawn("consume", "live", stdout=subprocess.PIPE, stderr=subprocess.PIPE) if self.mesh("topic", "create", "live") else None
        producer = self.spawn("produce", "live", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for line in (b"first\n", b"second\n", b"third\n"):
            producer.stdin.write(line)
            producer.stdin.flush()
            self.assertEqual(consumer.stdout.readline(), line)  # while the producer still waits for more
        producer.stdin.close()
        self.assertEqual(producer.wait(COMMAND_SECONDS), 0)

    def test_reader_that_goes_away_is_no_failure(self):
        self.mesh("produce", "many", stdin=b"x" * 100 + b"\n" + b"y\n" * 500_000)
        consumer = self.spawn("consume", "many", "--until-end", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(consumer.stdout.readline(), b"x" * 100 + b"\n")
        consumer.stdout.close()
        self.assertEqual(consumer.wait(COMMAND_SECONDS), 0)
        self.assertEqual(consumer.stderr.read(), b"")

    def test_several_files_one_after_the_other(self):
        for number in (1, 2):
            with open(self.path(f"{number}"), "wb") as file:
                file.write(b"file %d" % number)
        self.mesh("produce", "several", self.path("1"), "-", self.path("2"), stdin=b"stdin\n")
        self.assertEqual(self.consume("several"), b"file 1\nstdin\nfile 2\n")

    def test_interrupt_keeps_what_was_read(self):
        receipts = self.path("receipts")
        os.mkfifo(receipts)
        producer = self.spawn("produce", "interrupted", "--json", "--receipts", receipts, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        with open(receipts, "rb") as acknowledged:
            producer.stdin.write(b"one\ntwo\n")
            producer.stdin.flush()
            last = -1
            while last < 1:
                last = json.loads(acknowledged.readline())["last_offset"]
            producer.send_signal(2)
            self.assertEqual(producer.wait(COMMAND_SECONDS), 130)
        self.assertEqual(json.loads(producer.stdout.read())["records"], 2)
        self.assertEqual(self.consume("interrupted"), b"one\ntwo\n")

    def test_summary_is_for_those_who_ask(self):
        self.assertEqual(self.mesh("produce", "s", stdin=b"a\n").err, b"mesh: created topic 's', which did not exist\n")
        self.assertEqual(self.mesh("produce", "s", stdin=b"a\n").err, b"")
        self.assertIn(b"synced to disk on 1 replica", self.mesh("produce", "s", "--verbose", stdin=b"a\n").err)
        facts = json.loads(self.mesh("consume", "s", "--until-end", "--json-summary").err)
        self.assertEqual((facts["topic"], facts["records"], facts["bytes"]), ("s", 3, 3))


if __name__ == "__main__":
    main()

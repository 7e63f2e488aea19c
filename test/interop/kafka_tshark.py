#!/usr/bin/env python3
"""Has Wireshark's dissector read a message of every layout that our codec writes, and compares what both say.

Usage: kafka_tshark.py KAFKA_SAMPLES         (test/unit/kafka/kafka_samples.c says what it prints)
Each sample goes into a capture as one TCP segment, the request of an api and version before its response. Every string of the message must
come back out of the dissector, and it may not find the packet malformed. Exit code 77: tshark is not here, and need not be.
"""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

SKIPPED = 77
OK_MIN = 170  # messages that tshark 4.0 (Debian 12) reads as we do

# Where tshark 4.0 itself is wrong, or takes our made-up values for more than they are. Our bytes of these were compared with kafka-python
# (test/golden/kafka/README.md). (key, direction): reason
NOT_ASKED = {
    (0, "request"): "it dissects record batches, which are made up here",
    (11, "request"): "it dissects the metadata of members, which are made up here", (11, "response"): "likewise",
    (14, "request"): "it dissects the assignments of members, which are made up here", (14, "response"): "likewise",
    (15, "response"): "likewise", (18, "response"): "it judges the versions that the broker offers",
    (36, "request"): "it expects the token of a mechanism", (36, "response"): "likewise",
    (19, "request"): "it misreads arrays of numbers inside arrays", (37, "request"): "likewise", (43, "request"): "likewise",
    (45, "request"): "likewise", (46, "request"): "likewise", (20, "response"): "it does not know the throttle time of versions 1 and 2",
}
# What it says of versions and apis that are newer than it; and of the answers to requests that it could not read.
TOO_NEW = re.compile(r"Unsupported \w+ version|Unknown \d+ API key|Request missing")


def read_samples(program):
    """{(key, version): {direction: (frame, text)}}"""
    samples = {}
    for line in subprocess.run([program], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines():
        key, version, direction, frame, text = line.split(" ", 4)
        samples.setdefault((int(key), int(version)), {})[direction] = (bytes.fromhex(frame), text)
    return samples


def packet(from_port, to_port, sequence, acknowledged, payload):
    tcp = struct.pack(">HHIIBBHHH", from_port, to_port, sequence, acknowledged, 0x50, 0x18, 65535, 0, 0) + payload
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0, bytes([127, 0, 0, 1]), bytes([127, 0, 0, 1]))
    return struct.pack("<IIII", 1_700_000_000, 0, 20 + len(tcp), 20 + len(tcp)) + ip + tcp


def write_capture(samples, file):
    """Returns what each packet holds, in order."""
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 101))  # packets begin with the IP header
    contents = []
    for number, (api, sample) in enumerate(samples.items()):
        request, response = sample["request"][0], sample["response"][0]
        file.write(packet(10_000 + number, 9092, 1, 1, request))
        file.write(packet(9092, 10_000 + number, 1, 1 + len(request), response))
        contents += [(*api, "request"), (*api, "response")]
    file.flush()
    return contents


def texts_in(value):
    if isinstance(value, list):  # objects come as lists of pairs: they have keys twice
        for inner in value:
            yield from texts_in(inner)
    elif isinstance(value, tuple):
        yield from texts_in(value[1])
    else:
        yield str(value)


def keys_in(value):
    if isinstance(value, list):
        for inner in value:
            yield from keys_in(inner)
    elif isinstance(value, tuple):
        yield value
        yield from keys_in(value[1])


def judge(dissected, text):
    """None: it reads what we wrote; else what it says instead."""
    remarks = [str(value) for key, value in keys_in(dissected) if key == "_ws.expert.message"]
    if any(TOO_NEW.search(remark) for remark in remarks):
        return "too new"
    if remarks:
        return remarks[0]
    missing = set(re.findall(r'"(s\d+)"', text)) - set(texts_in(dissected))
    return f"does not find {sorted(missing)}" if missing else None


def main():
    if shutil.which("tshark") is None:
        print("tshark is not installed")
        return 1 if os.environ.get("MESH_TEST_TOOLS") == "all" else SKIPPED
    samples = read_samples(sys.argv[1])
    with tempfile.NamedTemporaryFile(suffix=".pcap") as file:
        contents = write_capture(samples, file)
        out = subprocess.run(["tshark", "-r", file.name, "-d", "tcp.port==9092,kafka", "-T", "json"], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, check=True).stdout
    packets = json.loads(out, object_pairs_hook=list)
    counts = {"ok": 0, "too new": 0, "not asked": 0, "wrong": 0}
    for (key, version, direction), dissected in zip(contents, packets, strict=True):
        verdict = judge(dissected, samples[key, version][direction][1])
        if verdict not in (None, "too new"):
            if (key, direction) in NOT_ASKED:
                verdict = "not asked"
            else:
                print(f"api {key} version {version} {direction}: {verdict}")
                verdict = "wrong"
        counts[verdict or "ok"] += 1
    print(", ".join(f"{name}: {count}" for name, count in counts.items()))
    return 1 if counts["wrong"] or counts["ok"] < OK_MIN else 0


sys.exit(main())

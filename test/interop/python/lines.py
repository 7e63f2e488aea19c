"""What clients in Python share: the words they are started with, lines in, lines out, the end of standard input."""
import os
import select
import sys
import threading

PARTITIONS = 4
SECONDS = 60
SESSION_MS = 6000

_is_to_leave = threading.Event()


def given():
    return [line.rstrip(b"\n") for line in sys.stdin.buffer]


def tell(values):
    for value in values:
        sys.stdout.buffer.write(value + b"\n")
    sys.stdout.buffer.flush()


def is_to_leave():
    """The end of standard input is the word to leave."""
    if select.select([0], [], [], 0)[0] and os.read(0, 4096) == b"":
        _is_to_leave.set()
    return _is_to_leave.is_set()


def main(codecs, produce, consume, seek, transaction, words):
    if words[1] == "codecs":
        print(*codecs)
    else:
        {"produce": produce, "consume": consume, "seek": seek, "transaction": transaction}[words[1]](*words[2:])

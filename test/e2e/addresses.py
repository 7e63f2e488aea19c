"""Addresses for brokers of tests, where a port has to be known before anything listens on it."""
import fcntl
import os
import random
import socket
import tempfile

BLOCK_PORTS = 16
_blocks = []  # (file whose lock says that the block is ours, ports of it not yet given out); held until this process ends


def first_ephemeral_port():
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            return int(file.read().split()[0])
    except OSError:
        return 32768


def is_free(port):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as each:
            try:
                each.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def claim_block():
    """Ports that no other test takes: who finds a port free binds it only when its broker has started, and a killed broker wants its own
    again, so tests that run side by side would now and then meet on one."""
    folder = os.path.join(tempfile.gettempdir(), f"mesh-test-ports-{os.getuid()}")
    os.makedirs(folder, exist_ok=True)
    end = first_ephemeral_port()
    begin = 10000 if end > 12000 else 1024
    while True:
        first = begin + BLOCK_PORTS * random.randrange((end - begin) // BLOCK_PORTS)
        file = open(os.path.join(folder, str(first)), "w", encoding="ascii")  # pylint: disable=consider-using-with
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        _blocks.append((file, list(range(first, first + BLOCK_PORTS))))
        return _blocks[-1][1]


def free_addresses(count):
    """Addresses whose ports are free, this process's alone, and below those that the kernel gives to whoever connects: a port of those can
    be taken while a broker is down, and many connect while tests run side by side."""
    ports = []
    while len(ports) < count:
        left = _blocks[-1][1] if _blocks and _blocks[-1][1] else claim_block()
        port = left.pop()
        if is_free(port):
            ports.append(port)
    return [f"127.0.0.1:{port}" for port in ports]

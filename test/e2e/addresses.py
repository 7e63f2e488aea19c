"""Addresses for brokers of tests, where a port has to be known before anything listens on it."""
import random
import socket


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


def free_addresses(count):
    """Addresses whose ports are free now, and below those that the kernel gives to whoever connects: a port of those can be taken while a
    broker is down, and many connect while tests run side by side."""
    end, ports = first_ephemeral_port(), set()
    begin = 10000 if end > 12000 else 1024
    while len(ports) < count:
        port = random.randrange(begin, end)
        if is_free(port):
            ports.add(port)
    return [f"127.0.0.1:{port}" for port in ports]

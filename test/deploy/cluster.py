"""As much of a Kubernetes cluster as brokers notice: pods that are network namespaces on a bridge, each time with another address; a name server that is told
of them late; a volume per pod; the kubelet's /etc/hosts; preStop, SIGTERM and the probes. Runs in namespaces of the test's own (enter())."""
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request

import manifests

INSIDE = "MESH_TEST_IN_CLUSTER"
GATEWAY, SUFFIX = "10.78.0.1", "default.svc.cluster.local"
LATE_S = 0.5  # from a pod's start to the first answer that has its address; the last answer that has the old one as well


A, SRV = 1, 33  # RFC 1035, RFC 2782


def encode_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def record(kind, data):
    return struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(data)) + data


def run(*words):
    subprocess.run(words, check=True, capture_output=True, timeout=60)


class Names:
    """A name server: A records that change a while after they were told, SRV records of a service's port, nothing for AAAA, and a denial of other names. It can be
    silent, and answer a while after it was asked."""

    def __init__(self):
        self.records, self.lock = {}, threading.Lock()  # name: [(from when, addresses, or for SRV names)]
        self.is_silent, self.slow_s = False, 0
        self.asked = 0  # while it was silent
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((GATEWAY, 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def tell(self, name, values, late=LATE_S):
        with self.lock:
            self.records.setdefault(f"{name}.{SUFFIX}", []).append((time.monotonic() + late, list(values)))

    def look_up(self, name):
        with self.lock:
            now, found = time.monotonic(), None
            for since, values in self.records.get(name.lower(), ()):
                if since <= now:
                    found = values
            return found

    def answer(self, question):
        labels, at = [], 12
        while question[at] != 0:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        (kind,) = struct.unpack_from(">H", question, at + 1)
        found = self.look_up(".".join(labels))
        is_service = labels[0].startswith("_")
        answers = found if found and kind == (SRV if is_service else A) else []
        head = struct.pack(">HHHHHH", *struct.unpack_from(">H", question), 0x8400 | (0 if found else 3), 1, len(answers), 0, 0)
        body = b"".join(record(SRV, struct.pack(">HHH", 0, 50, 9092) + encode_name(each)) if is_service else record(A, socket.inet_aton(each)) for each in answers)
        return head + question[12:at + 5] + body

    def serve(self):
        while True:
            question, sender = self.socket.recvfrom(4096)
            if self.is_silent:
                self.asked += 1
            else:
                threading.Timer(self.slow_s, self.socket.sendto, (self.answer(question), sender)).start()


class Pod:
    """One life of a pod. The volume outlives it."""

    def __init__(self, cluster, number):
        self.cluster, self.name = cluster, f"mesh-{number}"
        cluster.last_address += 1
        self.address = f"10.78.0.{cluster.last_address}"
        self.holder = subprocess.Popen(["unshare", "--net", "--mount", "--uts", "--propagation", "private", "sh", "-c", "echo; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.holder.stdout.readline()
        self.prefix = ["nsenter", "-t", str(self.holder.pid), "--net", "--mount", "--uts"]
        wire = f"pod{cluster.last_address}"
        run("ip", "link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", str(self.holder.pid))
        run("ip", "link", "set", wire, "master", "bridge0", "up")
        host_name = f"{self.name}.mesh-headless.{SUFFIX}"
        with open(f"{cluster.folder}/hosts.{wire}", "w", encoding="utf-8") as file:
            file.write(f"127.0.0.1 localhost\n{self.address} {host_name} {self.name}\n")
        run(*self.prefix, "sh", "-ec", f"ip link set lo up; ip address add {self.address}/16 dev eth0; ip link set eth0 up; hostname {self.name}; "
                                       f"mount --bind {cluster.folder}/hosts.{wire} /etc/hosts")

    def close(self):
        self.holder.stdin.close()
        self.holder.stdout.close()
        self.holder.wait(60)


class Cluster:
    def __init__(self, folder, objects):
        self.folder, self.objects, self.last_address = folder, objects, 10
        self.pods = {}
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "bridge0", "type", "bridge")
        run("ip", "address", "add", f"{GATEWAY}/16", "dev", "bridge0")
        run("ip", "link", "set", "bridge0", "up")
        with open(f"{folder}/resolv.conf", "w", encoding="utf-8") as file:
            file.write(f"nameserver {GATEWAY}\nsearch {SUFFIX}\noptions ndots:5 timeout:1\n")
        run("mount", "--bind", f"{folder}/resolv.conf", "/etc/resolv.conf")
        with open(f"{folder}/mesh.conf", "w", encoding="utf-8") as file:
            file.write(manifests.find(objects, "ConfigMap", "mesh-settings")["data"]["mesh.conf"])
        self.names = Names()

    def place(self, text):
        """Where a path of the pod is here."""
        for path, here in ("/etc/mesh/mesh.conf", "mesh.conf"), ("/run/secrets/mesh/key", "key"):
            text = text.replace(path, f"{self.folder}/{here}")
        return text

    def pod_environment(self, pod):
        values = manifests.environment(self.objects, {"metadata.name": pod.name, "metadata.namespace": "default"})
        values = {name: self.place(value) for name, value in values.items()}
        values["MESH_DATA"] = f"{self.folder}/{pod.name}"
        return values

    def arguments(self, pod):
        values = self.pod_environment(pod)
        return [self.place(manifests.expand(word, values)) for word in manifests.container(self.objects)["args"]]

    def publish(self, late=LATE_S):
        """What the cluster's name server will say of the pods that there are."""
        addresses = [pod.address for pod in self.pods.values()]
        for name in "mesh", "mesh-headless":
            self.names.tell(name, addresses, late)
        for pod in self.pods.values():
            self.names.tell(f"{pod.name}.mesh-headless", [pod.address], late)
        hosts = [f"{pod.name}.mesh-headless.{SUFFIX}" for pod in self.pods.values()]
        self.names.tell("_mesh._tcp.mesh-headless", hosts, late)

    def probe(self, pod, path):
        try:
            with urllib.request.urlopen(f"http://{pod.address}:9092{path}", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False


def enter(program):
    """Again, in namespaces of our own: nothing of it is seen outside, and all of it ends with us."""
    done = subprocess.run(["unshare", "--net", "--mount", "--propagation", "private", sys.executable, program, *sys.argv[1:]],
                          env=dict(os.environ, **{INSIDE: "1"}), check=False)
    return done.returncode

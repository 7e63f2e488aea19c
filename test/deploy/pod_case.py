"""What tests of deploy/k8s share: the StatefulSet's controller and a kubelet, played with the pods of cluster.py, and clients with default settings that produce and
consume throughout. run() begins a test again in namespaces of its own.

Environment: MESH_BINARY, MESH_SOURCE. Needs root, util-linux and iproute2."""
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

import cluster  # noqa: E402
import manifests  # noqa: E402
from harness import MESH, Broker, main  # noqa: E402
from mesh_case import PATIENCE_S, MeshCase  # noqa: E402

SOURCE = os.environ["MESH_SOURCE"]


class PodBroker(Broker):
    """A broker that is started as its pod's container says."""

    def __init__(self, clustered, pod):
        super().__init__(f"{clustered.folder}/{pod.name}", prefix=pod.prefix, env=clustered.pod_environment(pod))
        self.words = clustered.arguments(pod)

    def command(self):
        return [*self.prefix, MESH, *self.words]


class Feed(threading.Thread):
    """Lines to a producer, one after the other as it takes them, until told to end."""

    def __init__(self, child):
        super().__init__(daemon=True)
        self.child, self.count, self.is_over = child, 0, threading.Event()

    def run(self):
        while not self.is_over.wait(0.001):
            self.child.stdin.write(b"%d\n" % self.count)
            self.child.stdin.flush()
            self.count += 1


class PodCase(MeshCase):
    OVERLAY = "three"
    seed = None  # instead of the one that the manifest names

    def setUp(self):
        super().setUp()
        objects = manifests.render(f"{SOURCE}/deploy/k8s/overlays/{self.OVERLAY}")
        self.cluster = cluster.Cluster(self.folder, objects)
        self.mesh("key", "generate", "--key-file", self.path("key"))
        self.addCleanup(self.close_pods)

    def close_pods(self):
        for pod in self.cluster.pods.values():
            pod.close()

    def command_environment(self, broker=None):
        return dict(super().command_environment(), MESH_BROKER="mesh:9092")

    def create(self, number):
        """The controller makes a pod; its name is known to name servers a while later."""
        pod = cluster.Pod(self.cluster, number)
        pod.broker = PodBroker(self.cluster, pod)
        pod.broker.words[-1] = self.seed or pod.broker.words[-1]
        self.brokers.append(pod.broker)
        self.cluster.pods[number] = pod
        pod.broker.launch()
        return pod

    def delete(self, number, wipe=False):
        """As a kubelet does: preStop, SIGTERM, and an end that was in good order. Or, for a wipe, a machine that is lost."""
        pod = self.cluster.pods.pop(number)
        if wipe:
            pod.broker.kill()
            shutil.rmtree(pod.broker.data)
        else:
            stop = manifests.container(self.cluster.objects)["lifecycle"]["preStop"]["exec"]["command"]
            drained = self.run_in(pod, *stop[1:])
            self.assertEqual(drained, 0)
            self.assertEqual(pod.broker.stop(), 0, pod.broker.log())
        pod.close()

    def run_in(self, pod, *words):
        return subprocess.run([*pod.prefix, MESH, *words], env=super().command_environment(), capture_output=True, timeout=PATIENCE_S, check=False).returncode

    def wait_ready(self, pod):
        self.assertIsNone(pod.broker.process.poll(), pod.broker.log())
        self.until(f"{pod.name} is not ready", lambda: self.cluster.probe(pod, "/readyz"), pod.broker)
        self.assertTrue(self.cluster.probe(pod, "/livez"))

    def wait_in_sync(self, topic, count):
        brokers = [pod.broker for pod in self.cluster.pods.values()]

        def is_so():
            found = self.mesh("topic", "describe", topic, "--json", code=None)
            return found.code == 0 and all(len(p["isr"]) == count for p in found.json["partitions"])
        self.until("replicas are missing", is_so, *brokers)

    def behind(self, topic, name):
        """Partitions with a leader in whose ISR that broker is missing."""
        node = next(row["node_id"] for row in self.mesh("status", "--json").json["brokers"] if row["name"] == name)
        return [p for p in self.mesh("topic", "describe", topic, "--json").json["partitions"] if p["leader"] >= 0 and node not in p["isr"]]

    def wait_ready_again(self, number):
        pod = self.create(number)
        self.cluster.publish()
        self.wait_ready(pod)

    # ---- clients ----

    def begin_clients(self, topic):
        """One that produces and one that consumes, until end_clients() looks at what they saw."""
        self.topic = topic
        producer = self.spawn("produce", topic, stdin=-1, stdout=-1, stderr=-1)
        consumed = open(self.path("consumed"), "wb")
        self.addCleanup(consumed.close)
        self.consumer = self.spawn("consume", topic, stdin=-1, stdout=consumed, stderr=-1)
        self.feed = Feed(producer)
        self.feed.start()

    def wait_flow(self):
        """Something that is produced from now on has been consumed."""
        begin, count = os.path.getsize(self.path("consumed")), self.feed.count
        self.until("nothing flows", lambda: os.path.getsize(self.path("consumed")) > begin + 200 and self.feed.count > count, *[pod.broker for pod in self.cluster.pods.values()])

    def end_clients(self):
        """No error, nothing lost, nothing twice. Returns how many records there were."""
        feed, consumer, producer = self.feed, self.consumer, self.feed.child
        feed.is_over.set()
        feed.join(PATIENCE_S)
        producer.stdin.close()
        producer.stdin = None
        ended = self.finish(producer, code=None)
        if ended.code != 0:
            self.fail(f"{ended}\n{self.account(consumer, feed)}")
        size = sum(len(b"%d\n" % i) for i in range(feed.count))
        begin = time.monotonic()
        while os.path.getsize(self.path("consumed")) < size and consumer.poll() is None and time.monotonic() - begin < PATIENCE_S:
            self.mesh("topic", "describe", self.topic, code=None)  # takes a moment
        if os.path.getsize(self.path("consumed")) < size:
            self.fail(self.account(consumer, feed))
        self.assertIsNone(consumer.poll(), "the consumer saw an error")
        consumer.send_signal(signal.SIGINT)
        consumer.communicate(timeout=PATIENCE_S)
        with open(self.path("consumed"), encoding="ascii") as file:
            self.assertEqual(sorted(map(int, file)), list(range(feed.count)), "lost or doubled")
        self.assertGreater(feed.count, 100)
        return feed.count

    def account(self, consumer, feed):
        """What is known when records do not arrive: are they in the log, and what does the consumer say."""
        stored = self.mesh("consume", self.topic, "--until-end", code=None)
        alive = consumer.poll()
        consumer.kill()
        with open(self.path("consumed"), encoding="ascii") as file:
            got = set(map(int, file))
        missing = sorted(set(range(feed.count)) - got)
        return (f"{feed.count} produced, {len(stored.out.splitlines())} stored, {len(got)} consumed, missing {missing[:5]}..{missing[-5:]}; the consumer ended with {alive}: "
                f"{consumer.communicate(timeout=PATIENCE_S)[1].decode()}\n{self.mesh('topic', 'describe', 'orders', code=None)}\n"
                + "\n---\n".join(pod.broker.log() for pod in self.cluster.pods.values()))


def run(program):
    if cluster.INSIDE in os.environ:
        main()
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        print("needs root, util-linux and iproute2: pods are network namespaces")
        sys.exit(1 if os.environ.get("MESH_TEST_TOOLS") == "all" else 77)
    sys.exit(cluster.enter(os.path.abspath(program)))

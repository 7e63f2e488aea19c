"""What tests of a mesh with one coordinator stand on: brokers that found it together, and waits until they agree."""
import os
import signal
import time

from addresses import free_addresses
from harness import CONFIG_HOME, Case

PATIENCE_S = 60  # a limit is for what hangs
QUICK = ["--set", "election.ms=400"]  # elections of a test need not take seconds


class MeshCase(Case):
    def setUp(self):
        super().setUp()
        if not os.path.exists(os.path.join(CONFIG_HOME, "mesh", "key")):  # a first boot of many needs the key on each machine
            self.mesh("key", "generate")

    def status(self, broker):
        return self.mesh("status", "--json", broker=broker).json

    def topics(self, broker):
        return {topic["name"] for topic in self.mesh("topic", "list", "--json", broker=broker).json["topics"]}

    def until(self, what, is_true, *brokers, seconds=PATIENCE_S):
        begin = time.monotonic()
        while not is_true():
            self.assertLess(time.monotonic() - begin, seconds, what + "\n" + "\n---\n".join(broker.log() for broker in brokers))
        return time.monotonic() - begin

    def launch_together(self, count, expect=None, names=None, options=(), **keywords):
        """The same line on all of them, at once; returns them when all are ready."""
        addresses = free_addresses(count)
        brokers = [self.new_broker(self.path(f"b{i}"), listen=addresses[i], seeds=addresses,
                                   options=["--expect", str(expect or count), "--name", f"b{i}", *QUICK, *options], **keywords) for i in range(count)]
        for broker in brokers:
            broker.launch()
        for broker in brokers:
            self.wait_ready(broker)
        self.broker = brokers[0]
        return brokers

    def wait_ready(self, broker):
        broker.ready = broker.wait_line("mesh: ready on ")
        self.assertIsNotNone(broker.ready, broker.log())
        broker.address = broker.ready.split("mesh: ready on ")[1].split()[0]

    @staticmethod
    def kill_together(brokers):
        """So that none of them sees another's end: where they end one by one, the rest still elects leaders."""
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for broker in brokers:
                broker.process.send_signal(number)
        for broker in brokers:
            broker.kill()

    def coordinators(self, brokers):
        return {self.status(broker)["coordinator"] for broker in brokers}

    def wait_coordinator(self, brokers, but=()):
        """Until all name the same one, which is none of `but`."""
        self.until("they do not agree on a coordinator", lambda: len(self.coordinators(brokers)) == 1 and self.coordinators(brokers).isdisjoint({None, *but}),
                   *brokers)

    def broker_of(self, brokers, uuid):
        return next(broker for broker in brokers if f"broker={uuid}" in broker.ready)

    def clusters(self, brokers):
        return {self.status(broker)["cluster"] for broker in brokers}

    def start_mesh(self, count):
        brokers = []
        for number in range(count):
            seeds = [brokers[0].address] if brokers else []
            brokers.append(self.start_broker(self.path(f"b{number}"), seeds=seeds, options=["--name", f"b{number}", *QUICK]))
        self.broker = brokers[0]
        return brokers

"""What goes wrong, and when: a plan drawn from a seed, printed before it is carried out, and the account of what it may cost.

A fault begins, lasts, and ends; several may be under way, on the same machine too. Which machine leads what is not known when the plan is made, so a
plan is the same for the same seed; what a step meets when its time comes is noted as it happens."""
import heapq
import random
from dataclasses import dataclass, field


@dataclass(order=True)
class Step:
    at: float
    fault: str = field(compare=False)
    targets: tuple = field(compare=False)  # machines
    lasts: float = field(compare=False)
    number: int = field(compare=False)     # a seed of its own, or a quantity

    def __str__(self):
        return f"{self.at:6.1f} {self.fault:12} {','.join(f'b{t}' for t in self.targets):9} for {self.lasts:4.1f} s ({self.number})"


# What each fault needs of the world, how often it is drawn, how many machines it meets, how long it lasts (seconds).
FAULTS = {
    "kill": ("", 8, 1, (0.2, 8)),
    "kill-two": ("", 3, 2, (0.2, 6)),
    "kill-all": ("", 2, 0, (0.2, 4)),
    "kill-again": ("", 3, 1, (0.5, 4)),  # and once more while it recovers
    "stop": ("", 4, 1, (0.2, 5)),
    "sleep": ("", 6, 1, (0.5, 12)),
    "power": ("disk", 6, 1, (0.2, 6)),
    "power-some": ("disk", 4, 1, (0.2, 6)),
    "power-all": ("disk", 3, 0, (0.2, 4)),
    "slow-disk": ("disk", 4, 1, (1, 8)),
    "bad-disk": ("disk", 2, 1, (0, 0)),  # syncs fail; it is as it is until somebody restarts the broker
    "full-disk": ("small", 3, 1, (1, 10)),
    "clock": ("clock", 4, 1, (1, 20)),
    "flip": ("", 4, 1, (0, 0)),
    "wipe": ("", 1, 1, (0.5, 4)),
    "isolate": ("wire", 6, 1, (1, 12)),
    "isolate-in": ("wire", 4, 1, (1, 12)),   # it speaks and does not hear
    "isolate-out": ("wire", 4, 1, (1, 12)),  # it hears and is not heard
    "split-pair": ("wire", 5, 2, (1, 12)),   # two do not see each other, others see both
    "no-clients": ("wire", 3, 1, (1, 10)),
    "no-udp": ("wire", 2, 1, (3, 15)),
    "no-large": ("wire", 2, 1, (2, 8)),      # packets of more than 576 bytes vanish
    "loss": ("wire", 5, 0, (3, 15)),
    "delay": ("wire", 5, 0, (3, 15)),
    "jitter": ("wire", 4, 0, (3, 15)),
    "duplicates": ("wire", 3, 0, (3, 15)),
    "bits": ("wire", 2, 0, (2, 6)),
}


def plan(seed, count, seconds, abilities, only=()):
    """Steps of a round that lasts `seconds`. A swarm: each round draws from some of the faults only, so that rare company happens."""
    generator = random.Random(seed)
    names = [name for name, (need, *_) in FAULTS.items() if (need == "" or need in abilities) and (not only or name in only)]
    chosen = [name for name in names if generator.random() < 0.6] or names
    weights = [FAULTS[name][1] for name in chosen]
    pause = generator.choice((1.5, 3, 6))
    steps, at = [], 2.0
    while True:
        at += generator.expovariate(1 / pause)
        if at >= seconds:
            return steps
        name = generator.choices(chosen, weights)[0]
        _, _, wanted, (shortest, longest) = FAULTS[name]
        targets = tuple(sorted(generator.sample(range(count), wanted if wanted else count)))
        steps.append(Step(at, name, targets, min(generator.uniform(shortest, longest), seconds - at), generator.getrandbits(16)))


class Contract:
    """Whether the faults were more than is promised to be survived: so many copies of a record ruined that it may be gone.

    An acknowledged record is on the disks of min.insync replicas at least. Kills, sleeps and power cuts ruin nothing that was synced. A copy is
    ruined by a flipped bit or a wiped disk, and counts again when all replicas are in sync and equal."""

    def __init__(self, min_insync):
        self.min_insync, self.ruined, self.is_exceeded = min_insync, set(), False

    def ruin(self, machine):
        self.ruined.add(machine)
        self.is_exceeded = self.is_exceeded or len(self.ruined) >= self.min_insync

    def may_ruin(self, machine):
        return len(self.ruined | {machine}) < self.min_insync

    def healed(self):
        self.ruined.clear()


class Nemesis:
    def __init__(self, world, steps, contract):
        self.world, self.contract = world, contract
        self.queue = [(step.at, index, "begin", step) for index, step in enumerate(steps)]
        heapq.heapify(self.queue)
        self.serial = len(steps)
        self.faults = {}  # serial -> (from, to, words): what is wrong with links now
        self.findings = []
        self.sick = None
        self.wiped = []  # identities that are gone for good
        self.has_wiped = False

    def next_at(self):
        return self.queue[0][0] if self.queue else None

    def run_next(self):
        at, serial, what, step = heapq.heappop(self.queue)
        self.world.note(f"{what} {step.fault} {','.join(f'b{t}' for t in step.targets)}")
        handler = getattr(self, f"{what}_{step.fault.replace('-', '_')}", None)
        if what == "begin":
            heapq.heappush(self.queue, (at + step.lasts, serial, "end", step))
            if handler is None:
                self.break_links(serial, step)
        elif handler is None:
            self.mend_links(serial)
        if handler is not None:
            handler(step)

    # ---- processes and disks ----

    def machines(self, step):
        return [self.world.machines[target] for target in step.targets]

    def start_all(self, step):
        for machine in self.machines(step):
            machine.start()

    def kill_all(self, step):
        for machine in self.machines(step):
            machine.kill()

    begin_kill = begin_kill_two = begin_kill_all = kill_all
    end_kill = end_kill_two = end_kill_all = end_power = end_power_some = end_power_all = end_wipe = start_all

    def begin_kill_again(self, step):
        self.kill_all(step)
        self.start_all(step)
        again = Step(step.at + min(step.lasts, step.number % 1000 / 1000), "kill", step.targets, step.lasts, 0)
        self.serial += 1
        heapq.heappush(self.queue, (again.at, self.serial, "begin", again))

    def end_kill_again(self, step):
        pass

    def begin_stop(self, step):
        for machine in self.machines(step):
            machine.terminate()

    def end_stop(self, step):
        for machine in self.machines(step):
            self.finish_stop(machine)
            machine.start()

    def finish_stop(self, machine):
        """It has had its time. Without a majority a stop waits for one: then it is killed, as an impatient operator would."""
        if machine.state == "stopping" and machine.process.poll() is None:
            machine.kill()
        elif machine.state == "stopping":
            self.findings += filter(None, [machine.end()])

    def begin_sleep(self, step):
        for machine in self.machines(step):
            machine.doze()

    def end_sleep(self, step):
        for machine in self.machines(step):
            machine.wake()

    def begin_power(self, step):
        for machine in self.machines(step):
            machine.kill()  # all first: nobody is told anything between two cuts
        for machine in self.machines(step):
            self.world.note(f"{machine.name}: {machine.power_cut()}")

    begin_power_all = begin_power

    def begin_power_some(self, step):
        for machine in self.machines(step):
            self.world.note(f"{machine.name}: {machine.power_cut(step.number)}")

    def begin_slow_disk(self, step):
        for machine in self.machines(step):
            machine.slow_disk(20 + step.number % 480)

    def end_slow_disk(self, step):
        for machine in self.machines(step):
            machine.slow_disk(0)

    def begin_bad_disk(self, step):
        """At most one at a time, and not one more than the promises allow to be away."""
        if self.sick is None and not self.has_wiped:
            self.sick = self.world.machines[step.targets[0]]
            self.sick.fail_syncs(1 + step.number % 3)

    def end_bad_disk(self, step):
        pass

    def mend_the_sick(self):
        """The disk is replaced by one that works, with what had been synced; the broker is started again."""
        if self.sick is not None:
            self.world.note(f"{self.sick.name}: {self.sick.power_cut()}; its disk works again")
            self.sick.start()
            self.sick = None

    def begin_full_disk(self, step):
        for machine in self.machines(step):
            machine.fill(step.number % 24 * 1024)

    def end_full_disk(self, step):
        for machine in self.machines(step):
            machine.empty()

    def begin_clock(self, step):
        for machine in self.machines(step):
            machine.set_clock((step.number - 32768) * 1000)  # nine hours, either way

    def end_clock(self, step):
        for machine in self.machines(step):
            machine.set_clock(0)

    def begin_flip(self, step):
        for machine in self.machines(step):
            if self.contract.may_ruin(machine.number):
                told = machine.flip(step.number, 1 + step.number % 3)
                if told:
                    self.contract.ruin(machine.number)
                self.world.note(f"{machine.name}: {' '.join(told) or 'there was nothing to flip'}")

    def end_flip(self, step):
        pass

    def begin_wipe(self, step):
        """One in a round: it was a voter, perhaps, and the others of three have to stay a majority until it is replaced."""
        for machine in self.machines(step):
            if self.contract.may_ruin(machine.number) and self.sick is None and not self.has_wiped:
                self.has_wiped = True
                self.contract.ruin(machine.number)
                self.wiped += filter(None, [machine.wipe()])

    def remove_the_wiped(self):
        """Who has lost a disk for good comes back as another broker, and an operator removes the old one. Returns what stands against it, or None."""
        while self.wiped:
            code, _, err = self.world.mesh("remove", self.wiped[0], "--timeout", "5s")
            if code != 0:
                return err
            self.world.note(f"{self.wiped.pop(0)} is removed")
        return None

    # ---- links ----

    def pairs(self, step):
        """The directed links that a fault of this kind meets, and what it does to them."""
        everybody = range(len(self.world.machines) + 1)
        brokers = range(len(self.world.machines))
        first, number = step.targets[0], step.number
        others = [other for other in everybody if other != first]
        into, out = [(other, first) for other in others], [(first, other) for other in others]
        all_links = [(a, b) for a in everybody for b in everybody if a != b]
        among = [(a, b) for a in brokers for b in brokers if a != b]
        return {
            "isolate": lambda: (into + out, "cut"),
            "isolate-in": lambda: (into, "cut"),
            "isolate-out": lambda: (out, "cut"),
            "split-pair": lambda: ([step.targets, step.targets[::-1]], "cut"),
            "no-clients": lambda: ([(self.world.clients, first), (first, self.world.clients)], "cut"),
            "no-udp": lambda: (into + out, "udp"),
            "no-large": lambda: (into + out, "mtu=576"),
            "loss": lambda: (all_links, f"drop={10000 + number % 15 * 10000}"),
            "delay": lambda: (all_links, f"delay={1 + number % 80}"),
            "jitter": lambda: (all_links, f"delay=1 jitter={2 + number % 60}"),
            "duplicates": lambda: (all_links, f"dup={10000 + number % 30 * 10000}"),
            "bits": lambda: (among, f"flip={200 + number % 2000}"),  # clients speak in the clear: only brokers notice
        }[step.fault]()

    def break_links(self, serial, step):
        self.faults[serial] = self.pairs(step)
        self.apply_links()

    def mend_links(self, serial):
        self.faults.pop(serial, None)
        self.apply_links()

    def apply_links(self):
        words = {}
        for links, fault in self.faults.values():
            for link in links:
                words.setdefault(link, []).append(fault)
        self.world.wire.clear()
        for (from_, to), faults in words.items():
            self.world.wire.link(from_, to, *faults)

    def heal(self):
        """Everything ends at once, but for a disk that has failed: the others must do without it."""
        self.queue = []
        self.faults = {}
        if self.world.wire is not None:
            self.world.wire.clear()
        for machine in self.world.machines:
            machine.empty()
            machine.slow_disk(0)
            machine.set_clock(0)
            machine.wake()
            self.finish_stop(machine)
            machine.start()

"""The checker: what producers and consumers have written down, held against what a broker promises. Knows no broker, only lines.

Lines of a producer (recorder.c):
    P NAME idempotent|plain ACKS                                       who it is
    a MS PARTITION OFFSET EPOCH NUMBER HOLDING SYNCED                  its record NUMBER was acknowledged
    f MS PARTITION NUMBER ERROR                                        certainly not stored
    u MS PARTITION NUMBER ERROR                                        nobody knows
    s COUNT                                                            it sent so many, numbered from 0; the last line
Lines of a consumer:
    n                                                                  a pass begins: a reader without a memory
    r PARTITION OFFSET EPOCH NAME NUMBER HASH                          a record; HASH of all its bytes and its time
    bad PARTITION OFFSET ...                                           a record that no producer has made
    e MS PARTITION POSITION ERROR                                      what it was told instead
What the mesh itself says about losses is in its brokers' logs: told_losses().
"""
import re
from dataclasses import dataclass, field

EXAMPLES = 5  # of each kind of violation are described; all are counted
TOLD_LOSS = re.compile(r"acknowledged records may be lost: .*topic=(\S+) partition=(\d+) ")


def told_losses(lines):
    """{topic: set of partitions} of which a broker's log says that acknowledged records may be lost."""
    told = {}
    for line in lines:
        found = TOLD_LOSS.search(line)
        if found:
            told.setdefault(found[1], set()).add(int(found[2]))
    return told


@dataclass
class Producer:
    name: str
    is_idempotent: bool
    acks: int
    sent: int = None
    acked: dict = field(default_factory=dict)   # number -> (partition, offset)
    failed: dict = field(default_factory=dict)  # number -> (partition, error)
    unknown: dict = field(default_factory=dict)


class History:
    def __init__(self):
        self.producers = {}
        self.log = {}       # partition -> {offset: (name, number, hash, epoch)}
        self.steps = set()  # (partition, offset, next offset) as a reader got them, when not neighbours
        self.first_seen = {}  # (partition, offset) -> source
        self.violations = {}  # kind -> [count, [example...]]
        self.errors = {}      # (source kind, error) -> count
        self.excused_losses = []

    # ---- reading ----

    def violate(self, kind, text):
        entry = self.violations.setdefault(kind, [0, []])
        entry[0] += 1
        if len(entry[1]) < EXAMPLES:
            entry[1].append(text)

    def read_producer(self, lines, source="producer"):
        producer = None
        for line in lines:
            words = line.split()
            if not line.endswith("\n") or not words:
                continue  # it was cut off: what it did not say it does not claim
            if words[0] == "P":
                producer = self.producers[words[1]] = Producer(words[1], words[2] == "idempotent", int(words[3]))
            elif words[0] == "a":
                self.add_ack(producer, int(words[5]), int(words[2]), int(words[3]))
            elif words[0] in "fu":
                (producer.failed if words[0] == "f" else producer.unknown)[int(words[3])] = (int(words[2]), words[4])
                self.errors[words[0], words[4]] = self.errors.get((words[0], words[4]), 0) + 1
            elif words[0] == "s":
                producer.sent = int(words[1])
            else:
                self.violate("unreadable", f"{source}: {line!r}")

    def add_ack(self, producer, number, partition, offset):
        if number in producer.acked:
            self.violate("told twice", f"{producer.name} {number}")
        producer.acked[number] = (partition, offset)

    def read_consumer(self, lines, source="consumer", forgotten=frozenset()):
        """Returns {partition: set of offsets} of all that it read. What it says of partitions in `forgotten` is left out: they have lost records, so
        that what was read before need not be there any more."""
        seen, last = {}, {}
        for line in lines:
            words = line.split()
            if not line.endswith("\n") or not words:
                continue
            if words[0] in ("r", "e", "bad") and int(words[2 if words[0] == "e" else 1]) in forgotten:
                continue
            if words[0] == "r":
                partition, offset = int(words[1]), int(words[2])
                self.add_read(partition, offset, (words[4], int(words[5]), words[6], int(words[3])), source)
                before = last.get(partition)
                if before is not None and offset <= before:
                    self.violate("read order", f"{source}: partition {partition}: {offset} after {before}")
                elif before is not None and offset > before + 1:
                    self.steps.add((partition, before, offset))
                last[partition] = offset
                seen.setdefault(partition, set()).add(offset)
            elif words[0] == "n":
                last = {}
            elif words[0] == "e":
                self.errors["e", words[4]] = self.errors.get(("e", words[4]), 0) + 1
                if words[4] == "OFFSET_OUT_OF_RANGE":  # readers only ask for what somebody has seen, or what comes next
                    self.violate("disappeared", f"{source}: partition {words[2]} has no offset {words[3]} any more")
            elif words[0] == "bad":
                self.violate("changed bytes", f"{source}: nobody has sent this: {line[:100]!r}")
            else:
                self.violate("unreadable", f"{source}: {line!r}")
        return seen

    def add_read(self, partition, offset, record, source):
        log = self.log.setdefault(partition, {})
        before = log.get(offset)
        if before is None:
            log[offset] = record
            self.first_seen[partition, offset] = source
        elif before != record:
            self.violate("changed", f"partition {partition} offset {offset}: {before} by {self.first_seen[partition, offset]}, {record} by {source}")

    # ---- judging ----

    def check(self, excused=frozenset()):
        """Everything that needs the whole history. excused: partitions that were allowed to lose records, and of which the mesh has said so itself."""
        for producer in self.producers.values():
            self.check_acknowledged(producer, excused)
        for partition, log in self.log.items():
            self.check_partition(partition, sorted(log))
        for partition, before, after in self.steps:
            log = self.log[partition]
            hidden = [offset for offset in range(before + 1, after) if offset in log]
            if hidden:
                self.violate("skipped", f"partition {partition}: a reader got {before} and then {after}, but {hidden[0]} is there")
        return not self.violations

    def check_acknowledged(self, producer, excused):
        if producer.sent is None:
            self.violate("unfinished", f"{producer.name} did not end by itself")
        else:
            untold = producer.sent - len(producer.acked) - len(producer.failed) - len(producer.unknown)
            if untold != 0:
                self.violate("untold", f"{producer.name}: of {producer.sent} records {untold} had no outcome")
        if producer.acks == 0:
            return
        for number, (partition, offset) in producer.acked.items():
            record = self.log.get(partition, {}).get(offset)
            if record is not None and record[:2] == (producer.name, number):
                continue
            text = f"{producer.name} {number} was acknowledged at partition {partition} offset {offset}, where there is {record}"
            if producer.acks == 1 or partition in excused:
                self.excused_losses.append(text)
            else:
                self.violate("lost", text)

    def check_partition(self, partition, offsets):
        log, places, newest = self.log[partition], {}, {}
        before_offset, before_epoch = -1, -1
        for offset in offsets:
            name, number, _, epoch = log[offset]
            if epoch < before_epoch:
                self.violate("epochs", f"partition {partition} offset {offset}: epoch {epoch} after {before_epoch}")
            # What no reader is shown are the records that begin a leader's epoch, one for each.
            if offset - before_offset - 1 > max(0, epoch - before_epoch):
                self.violate("gap", f"partition {partition}: nothing between {before_offset} (epoch {before_epoch}) and {offset} (epoch {epoch})")
            before_offset, before_epoch = offset, epoch
            producer = self.producers.get(name)
            if producer is None or (producer.sent is not None and number >= producer.sent):
                self.violate("invented", f"partition {partition} offset {offset}: {name} {number}")
                continue
            if number in producer.failed:
                self.violate("stored though failed", f"partition {partition} offset {offset}: {name} {number}, {producer.failed[number]}")
            if not producer.is_idempotent:
                continue
            if (name, number) in places:
                self.violate("duplicate", f"partition {partition}: {name} {number} at {places[name, number]} and {offset}")
            elif number < newest.get(name, -1):
                self.violate("order", f"partition {partition} offset {offset}: {name} {number} after {newest[name]}")
            places.setdefault((name, number), offset)
            newest[name] = max(number, newest.get(name, -1))

    def check_homes(self):
        """A producer's record is in one partition only: where keys belong does not change."""
        homes = {}
        for partition, log in self.log.items():
            for offset, (name, number, _, _) in log.items():
                home = homes.setdefault((name, number), partition)
                if home != partition:
                    self.violate("duplicate", f"{name} {number} is in partition {home} and {partition} (offset {offset})")

    def check_complete(self, seen, ends, source):
        """A reader that went through everything up to `ends` must have met all that anybody knows below them."""
        for partition, end in enumerate(ends):
            missing = [offset for offset in self.log.get(partition, {}) if offset < end and offset not in seen.get(partition, ())]
            if missing:
                self.violate("missing", f"{source}: partition {partition} has no offset {min(missing)} ({len(missing)} such)")
            above = [offset for offset in self.log.get(partition, {}) if offset >= end]
            if above:
                self.violate("end", f"{source}: partition {partition} ends at {end}, but {max(above)} was read before")

    # ---- telling ----

    def summary(self):
        records = sum(map(len, self.log.values()))
        told = {what: sum(len(getattr(p, what)) for p in self.producers.values()) for what in ("acked", "failed", "unknown")}
        errors = ", ".join(f"{kind} {error}: {count}" for (kind, error), count in sorted(self.errors.items()))
        return f"{records} records in {len(self.log)} partitions; " + ", ".join(f"{n} {what}" for what, n in told.items()) + (
            f"; {len(self.excused_losses)} lost as the contract allows" if self.excused_losses else "") + (f" ({errors})" if errors else "")

    def report(self):
        lines = []
        for kind, (count, examples) in sorted(self.violations.items()):
            lines.append(f"VIOLATION {kind}: {count}")
            lines += [f"    {example}" for example in examples]
        return "\n".join(lines)

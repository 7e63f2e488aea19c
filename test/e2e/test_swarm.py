#!/usr/bin/env python3
"""Many brokers on one machine: all started at once through one seed, one killed, one taken leave of. How fast that is, is measured by
test/bench/run's case `members`; here it is judged by what the brokers acted upon: evidence, or timeouts in its stead."""
import re
from urllib.request import urlopen

from harness import Case, main, under_sanitizer

COUNT = 10 if under_sanitizer() else 40  # more than the 16 that all keep links to each other


class Swarm(Case):
    def wait_members(self, broker, state, names):
        """Until the broker's log has told this state of each of the names."""
        names = set(names)
        while names:
            line = broker.wait_line(f" member {state} name=")
            self.assertIsNotNone(line, f"{sorted(names)} not {state}:\n{broker.log()}")
            names.discard(line.split(" name=")[1].split()[0])

    def metric(self, broker, name):
        with urlopen(f"http://{broker.address}/metrics", timeout=60) as answer:
            return int(re.search(rf"^{name} (\d+)$", answer.read().decode(), re.M).group(1))

    def start_swarm(self):
        brokers = [self.start_broker(self.path("b0"), options=["--name", "b0", "--shards", "1"])]
        for number in range(1, COUNT):
            brokers.append(self.new_broker(self.path(f"b{number}"), listen=f"127.0.0.{number + 1}:0", seeds=[brokers[0].address],
                                           options=["--name", f"b{number}", "--shards", "1"]))
            brokers[-1].launch()
        for own, broker in enumerate(brokers):
            self.wait_members(broker, "alive", [f"b{number}" for number in range(COUNT) if number != own])
            ready = next((line for line in broker.lines if "mesh: ready on " in line), None) or broker.wait_line("mesh: ready on ")
            broker.address = ready.split("mesh: ready on ")[1].split()[0]
        return brokers

    def test_all_agree_and_hear_at_once_of_a_death_and_of_a_leave(self):
        brokers = self.start_swarm()
        for broker in (brokers[0], brokers[-1]):
            members = self.mesh("members", "--json", broker=broker).json["members"]
            self.assertEqual({(member["name"], member["state"]) for member in members}, {(f"b{n}", "alive") for n in range(COUNT)})
            self.assertEqual({member["address"] for member in members}, {each.address for each in brokers})
        victim = brokers.pop(COUNT // 2)
        victim.kill()
        for broker in brokers:
            self.wait_members(broker, "dead", [f"b{COUNT // 2}"])
        # Two observers found its process gone, and all heard of both: nobody waited until a suspicion was over.
        quick = sum(self.metric(broker, "mesh_gossip_fast_deaths_total") == 1 for broker in brokers)
        self.assertGreater(quick, len(brokers) / 2, brokers[0].log())
        leaver = brokers.pop(1)
        self.mesh("leave", broker=leaver)
        for broker in brokers:
            self.wait_members(broker, "left", ["b1"])
        self.assertEqual(leaver.wait(), 0, leaver.log())


if __name__ == "__main__":
    main()

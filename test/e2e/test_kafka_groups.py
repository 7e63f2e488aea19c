#!/usr/bin/env python3
"""Groups through the Kafka door: offsets, members and rebalances as clients of Kafka's classic protocol know them; at any broker."""
import os
import shutil
import struct
import subprocess

import kafka_wire as wire
from harness import environment, main
from kafka_wire_groups import Client
from mesh_case import MeshCase

UNKNOWN_TOPIC, OFFSET_METADATA_TOO_LARGE, INVALID_GROUP, UNKNOWN_MEMBER, ILLEGAL_GENERATION = 3, 12, 24, 25, 22
INCONSISTENT, INVALID_SESSION, REBALANCING, MEMBER_ID_REQUIRED, FENCED_INSTANCE = 23, 26, 27, 79, 82
UNKNOWN, UNSUPPORTED, INVALID_REQUEST, UNKNOWN_TOPIC_ID, NON_EMPTY_GROUP, GROUP_NOT_FOUND = -1, 35, 42, 100, 68, 69


class KafkaGroups(MeshCase):
    def client(self, broker=None):
        connection = self.connect(broker)
        self.addCleanup(connection.close)
        return Client(connection)

    def topic_id(self, client, name):
        answer = client.call(wire.METADATA, 12, 9, lambda f: f.array([b"\0" * 16 + f.string(name) + f.end]) + b"\0\0")
        answer.array(lambda: (answer.take("i"), answer.string(), answer.take("i"), answer.string()))
        answer.string()
        answer.take("i")
        answer.size("i")
        answer.take("h")
        answer.string()
        return answer.reader.bytes(16)

    def coordinator(self, client, group):
        """The node, once there is one."""
        found = []

        def look():
            found[:] = client.find_coordinator(group)
            return found[0][1] == 0
        self.until("the group has a coordinator", look)
        return found[0][2]

    def member(self, group, client=None, version=5, broker=None, **keywords):
        """A client that has joined alone, and assigned itself everything; joined.client is it."""
        client = client or self.client(broker)
        joined = []

        def joins():
            first = client.join(group, "", version, **keywords)
            joined[:] = [client.join(group, first.member, version, **keywords) if first.error == MEMBER_ID_REQUIRED else first]
            return joined[0].error == 0
        self.until("it joins", joins)
        joined[0].client = client
        return joined[0]

    # ---- coordinators and offsets ----

    def test_every_version_finds_the_same_coordinator(self):
        brokers = self.launch_together(3)
        self.wait_coordinator(brokers)
        clients = [self.client(broker) for broker in brokers]
        names = [f"group-{n}" for n in range(20)]
        self.until("all brokers agree", lambda: len({tuple(c.find_coordinator(*names, version=6)) for c in clients}) == 1 and
                   all(row[1] == 0 for row in clients[0].find_coordinator(*names, version=4)), *brokers)
        rows = clients[0].find_coordinator(*names, version=4)
        nodes = clients[0].metadata()[1]
        self.assertGreater(len({row[2] for row in rows}), 1)  # they are spread
        for key, _, node, host, port in rows:
            self.assertEqual((host, port), nodes[node])
            for version in range(4):
                self.assertEqual(clients[1].find_coordinator(key, version=version), [(key, 0, node, host, port)])
        for version in (3, 6):
            self.assertEqual(clients[0].find_coordinator("tx", version=version, key_type=1)[0][1:3], (UNSUPPORTED, -1))
            self.assertEqual(clients[0].find_coordinator("share", version=version, key_type=2)[0][1:3], (INVALID_REQUEST, -1))
            self.assertEqual(clients[0].find_coordinator("", version=version)[0][1:3], (INVALID_GROUP, -1))

    def test_offsets_are_kept_in_every_version(self):
        self.start_broker()
        self.mesh("topic", "create", "t", "--partitions", "3")
        self.mesh("topic", "create", "u")
        self.mesh("produce", "t", "--partition", "0", stdin=b"x\n" * 300)
        client = self.client()
        self.assertEqual(client.committed("g", {"t": [0]}), (0, {"t": {0: (-1, -1, "", 0)}}))  # nobody has made the topic of groups yet
        self.assertEqual(client.committed("g", None), (0, {}))
        self.coordinator(client, "g")
        ident = self.topic_id(client, "t")
        for version in range(2, 11):
            with self.subTest(version=version):
                name = ident if version >= 10 else "t"
                offset = (version, 0 if version >= 6 else -1, f"by {version}")
                self.assertEqual(client.commit("g", {name: {0: offset, 1: 0}}, version), {name: {0: 0, 1: 0}})
                self.assertEqual(client.committed("g", {"t": [2, 0]}), (0, {"t": {2: (-1, -1, "", 0), 0: (*offset, 0)}}))
        for version in range(1, 11):
            with self.subTest(version=version):
                name = ident if version >= 10 else "t"
                epochs = (-1, 0) if version >= 5 else (None, None)
                told = {0: (10, epochs[1], "by 10", 0), 1: (0, epochs[0], "", 0)}
                self.assertEqual(client.committed("g", {name: [0, 1, 2]}, version), (0, {name: {**told, 2: (-1, epochs[0], "", 0)}}))
                if version >= 2:
                    self.assertEqual(client.committed("g", None, version), (0, {name: told}))
                self.assertEqual(client.committed("g", {}, version), (0, {}))
        self.assertEqual(client.commit("h", {"u": {0: 0}}), {"u": {0: 0}})
        both = client.committed_of({"g": {"t": [0]}, "h": None, "never": None})
        self.assertEqual(both, {"g": (0, {"t": {0: (10, 0, "by 10", 0)}}), "h": (0, {"u": {0: (0, -1, "", 0)}}), "never": (0, {})})
        self.assertRegex(self.mesh("group", "describe", "g").out.decode(), r"(?m)^t +0 +10 ")  # one group, two doors
        self.mesh("topic", "delete", "t")
        self.until("its offsets are not told", lambda: client.committed("g", None) == (0, {}))

    def test_an_offset_behind_the_end_is_taken_as_by_Kafka(self):
        """Who copies offsets from elsewhere may be ahead of the records. Mesh's own clients are refused there."""
        self.start_broker()
        self.mesh("topic", "create", "t", "--partitions", "2")
        client = self.client()
        self.coordinator(client, "g")
        self.assertEqual(client.commit("g", {"t": {0: (42, -1, "why"), 1: 1 << 62}}), {"t": {0: 0, 1: 0}})
        self.assertEqual(client.committed("g", {"t": [0, 1]}), (0, {"t": {0: (42, -1, "why", 0), 1: (1 << 62, -1, "", 0)}}))
        told = self.mesh("group", "describe", "g", "--json").json["offsets"]
        self.assertEqual([(row["partition"], row["committed"], row["lag"] or 0) for row in told], [(0, 42, 0), (1, 1 << 62, 0)])
        refused = self.mesh("group", "reset", "g", "--topic", "t", "--partition", "0", "--to", "offset:43", "--yes", code=None)
        self.assertEqual(refused.code, 1)
        self.assertEqual(client.commit("g", {"t": {0: 0}}), {"t": {0: 0}})  # back again

    def test_what_cannot_be_committed_is_told_by_partition(self):
        self.start_broker()
        self.mesh("topic", "create", "t", "--partitions", "2")
        client = self.client()
        self.coordinator(client, "g")
        cells = {"t": {0: 0, 1: (0, -1, "m" * 4097), 2: 0, -1: 0}, "u": {0: 0}}
        self.assertEqual(client.commit("g", cells), {"t": {0: 0, 1: OFFSET_METADATA_TOO_LARGE, 2: UNKNOWN_TOPIC, -1: UNKNOWN_TOPIC},
                                                     "u": {0: UNKNOWN_TOPIC}})
        self.assertEqual(client.committed("g", {"t": [0, 1, 2], "u": [0]}),
                         (0, {"t": {n: (0 if n == 0 else -1, -1, "", 0) for n in range(3)}, "u": {0: (-1, -1, "", 0)}}))
        self.assertEqual(client.commit("g", {b"n" * 16: {0: 0}}, 10), {b"n" * 16: {0: UNKNOWN_TOPIC_ID}})
        self.assertEqual(client.committed("g", {b"n" * 16: [0]}, 10), (0, {b"n" * 16: {0: (-1, -1, "", UNKNOWN_TOPIC_ID)}}))
        self.assertEqual(client.commit("g", {"t": {0: 1}}, member="who"), {"t": {0: UNKNOWN_MEMBER}})
        self.assertEqual(client.commit("g", {"t": {0: 1}}, generation=3), {"t": {0: ILLEGAL_GENERATION}})
        self.assertEqual(client.commit("", {"t": {0: 1}}), {"t": {0: INVALID_GROUP}})
        self.assertEqual(client.committed("g\n", None)[0], INVALID_GROUP)
        self.assertEqual(client.commit("g", {}), {})
        client.send(8, 7, struct.pack(">h", 300))  # half a request
        self.assertTrue(client.is_closed())

    def test_any_broker_takes_offsets_and_a_kill_loses_none(self):
        brokers = self.launch_together(3)
        self.wait_coordinator(brokers)
        self.mesh("topic", "create", "t", "--partitions", "1")
        self.mesh("produce", "t", stdin=b"x\n" * 10)
        node = self.coordinator(self.client(brokers[0]), "g")
        for number, broker in enumerate(brokers):
            client = self.client(broker)
            self.until("it is taken", lambda c=client, n=number: c.commit("g", {"t": {0: n + 1}}) == {"t": {0: 0}}, *brokers)
            for other in brokers:
                self.assertEqual(self.client(other).committed("g", {"t": [0]})[1]["t"][0][0], number + 1)
        nodes = self.client(brokers[0]).metadata()[1]
        killed = next(broker for broker in brokers if broker.address == "%s:%d" % nodes[node])
        killed.kill()
        rest = [self.client(broker) for broker in brokers if broker is not killed]
        self.until("another broker coordinates", lambda: all(c.find_coordinator("g")[0][1:3] not in ((0, node), (15, -1)) for c in rest), *brokers)
        for client in rest:
            self.until("the offset is there", lambda c=client: c.committed("g", {"t": [0]}) == (0, {"t": {0: (3, -1, "", 0)}}))

    # ---- members ----

    def test_members_join_assign_and_leave_in_every_version(self):
        self.start_broker(options=["--set", "groups.gather.ms=0"])
        self.mesh("topic", "create", "t")
        client = self.client()
        self.coordinator(client, "g")
        for version in range(10):
            with self.subTest(version=version):
                group, sync, other = f"g-{version}", min(version, 5), min(version, 4)
                joined = self.member(group, client, version, protocols=(("roundrobin", b"first"), ("range", b"second")))
                self.assertEqual((joined.generation, joined.protocol, joined.leader), (1, "roundrobin", joined.member))
                self.assertEqual(joined.members, {joined.member: (None, b"first")})
                self.assertEqual(client.sync(group, 1, joined.member, {joined.member: b"all of it"}, sync, protocol="roundrobin"), (0, b"all of it"))
                self.assertEqual(client.sync(group, 1, joined.member, None, sync, protocol="roundrobin"), (0, b"all of it"))
                self.assertEqual(client.heartbeat(group, 1, joined.member, other), 0)
                self.assertEqual(client.commit(group, {"t": {0: 0}}, generation=1, member=joined.member), {"t": {0: 0}})
                self.assertEqual(client.leave(group, joined.member, version=min(version, 5)), (0, [0] if version >= 3 else []))
                self.assertEqual(client.heartbeat(group, 1, joined.member, other), UNKNOWN_MEMBER)
        self.assertEqual(client.commit("g-0", {"t": {0: 0}}), {"t": {0: 0}})  # anybody's, once it is empty

    def test_everybody_waits_for_everybody_and_hears_of_changes(self):
        self.start_broker(options=["--set", "groups.gather.ms=0"])
        first = self.member("g", protocols=(("range", b"1"), ("sticky", b"1s")))
        self.assertEqual(first.client.sync("g", 1, first.member, {first.member: b"1"}), (0, b"1"))
        second = self.client()
        ident = second.join("g", protocols=(("sticky", b"2"),)).member
        second.send_join("g", ident, protocols=(("sticky", b"2"),))
        self.until("the first one hears of it", lambda: first.client.heartbeat("g", 1, first.member) == REBALANCING)
        self.assertEqual(first.client.sync("g", 1, first.member), (REBALANCING, b""))
        self.assertEqual(first.client.commit("g", {}, generation=1, member=first.member), {})
        again = first.client.join("g", first.member, protocols=(("range", b"1"), ("sticky", b"1s")))
        told = second.take_join()
        self.assertEqual((again.generation, again.protocol, again.leader), (2, "sticky", first.member))  # the only one that both know
        self.assertEqual((told.generation, told.protocol, told.leader, told.members), (2, "sticky", first.member, {}))
        self.assertEqual(again.members, {first.member: (None, b"1s"), ident: (None, b"2")})
        second.send_sync("g", 2, ident)
        self.assertEqual(first.client.sync("g", 2, first.member, {first.member: b"a", ident: b"b"}), (0, b"a"))
        self.assertEqual(second.take_sync(), (0, b"b"))
        self.assertEqual(first.client.heartbeat("g", 1, first.member), ILLEGAL_GENERATION)
        follower = second.join("g", ident, protocols=(("sticky", b"2"),))  # nothing is new: nobody else notices
        self.assertEqual((follower.error, follower.generation), (0, 2))
        self.assertEqual(first.client.heartbeat("g", 2, first.member), 0)
        self.assertEqual(first.client.leave("g", first.member), (0, [0]))
        self.assertEqual(second.heartbeat("g", 2, ident), REBALANCING)
        alone = second.join("g", ident, protocols=(("sticky", b"2"),))
        self.assertEqual((alone.generation, alone.leader), (3, ident))

    def synced(self, group, **keywords):
        """A member that leads a generation, and has shared it out; who was too slow for a limit of its own joins again."""
        joined = []

        def syncs():
            joined[:] = [self.member(group, **keywords)]
            self.assertEqual(list(joined[0].members), [joined[0].member])
            return joined[0].client.sync(group, joined[0].generation, joined[0].member, {})[0] == 0
        self.until("it has synced", syncs)
        return joined[0]

    def test_who_does_not_come_back_in_time_is_left_out(self):
        """Only what rebalances may last is short. Sessions go on, however slow the machine is."""
        self.start_broker(options=["--set", "groups.gather.ms=0"])
        self.mesh("topic", "create", "t")
        lost = self.synced("g", session_ms=120000, rebalance_ms=400)
        new = self.synced("g", session_ms=120000, rebalance_ms=400)  # it joined when the other had not come back in time
        self.assertGreater(new.generation, lost.generation)
        self.assertEqual(lost.client.heartbeat("g", lost.generation, lost.member), UNKNOWN_MEMBER)
        self.assertEqual(lost.client.join("g", lost.member).error, UNKNOWN_MEMBER)
        self.assertEqual(new.client.heartbeat("g", new.generation, new.member), 0)
        self.assertEqual(new.client.commit("g", {"t": {0: 0}}), {"t": {0: UNKNOWN_MEMBER}})  # the group is not anybody's

    def test_who_is_not_heard_is_gone(self):
        self.start_broker(options=["--set", "groups.session.ms.min=100", "--set", "groups.gather.ms=0"])
        self.mesh("topic", "create", "t")
        silent = self.member("g", session_ms=400, rebalance_ms=400)
        self.until("it is gone", lambda: silent.client.commit("g", {"t": {0: 0}}) == {"t": {0: 0}})  # anybody's, once it is empty
        self.assertEqual(silent.client.heartbeat("g", silent.generation, silent.member), UNKNOWN_MEMBER)

    def test_a_static_member_comes_back_unnoticed(self):
        self.start_broker(options=["--set", "groups.gather.ms=0"])
        leader = self.member("g", instance="one")
        other = self.client()
        other.send_join("g", instance="two")
        self.until("the leader hears of it", lambda: leader.client.heartbeat("g", 1, leader.member, instance="one") == REBALANCING)
        again = leader.client.join("g", leader.member, instance="one")
        told = other.take_join()
        self.assertEqual(again.members, {leader.member: ("one", b"m"), told.member: ("two", b"m")})
        self.assertEqual(leader.client.sync("g", 2, leader.member, {leader.member: b"1", told.member: b"2"}, instance="one"), (0, b"1"))
        life = self.client()
        back = life.join("g", instance="two")
        self.assertEqual((back.error, back.generation, back.leader), (0, 2, leader.member))
        self.assertNotEqual(back.member, told.member)
        self.assertEqual(life.sync("g", 2, back.member, instance="two"), (0, b"2"))
        self.assertEqual(leader.client.heartbeat("g", 2, leader.member, instance="one"), 0)
        for answer in (other.heartbeat("g", 2, told.member, instance="two"), other.sync("g", 2, told.member, instance="two")[0],
                       other.join("g", told.member, instance="two").error, other.leave("g", (told.member, "two"))[1][0]):
            self.assertEqual(answer, FENCED_INSTANCE)
        first = life.join("g", instance="one", version=9)  # it leads, and has nothing to do
        self.assertEqual((first.error, first.generation, first.skips, first.leader), (0, 2, True, first.member))
        self.assertEqual(set(first.members), {first.member, back.member})
        old = life.join("g", instance="one", version=5)
        self.assertEqual((old.error, old.generation, old.members), (0, 2, {}))
        self.assertNotEqual(old.leader, old.member)
        self.assertEqual(life.leave("g", ("", "two"), ("", "three"), (old.member, None)), (0, [0, UNKNOWN_MEMBER, 0]))

    def test_who_may_not_join_is_told_why(self):
        self.start_broker(options=["--set", "groups.gather.ms=0"])
        self.mesh("topic", "create", "t")
        joined = self.member("g")
        client = self.client()
        for what, want, words in (
                ("no name", INVALID_GROUP, {"group": ""}), ("a short session", INVALID_SESSION, {"session_ms": 1}),
                ("a session below zero", INVALID_SESSION, {"session_ms": -1}), ("a long session", INVALID_SESSION, {"session_ms": 1 << 30}),
                ("another kind", INCONSISTENT, {"kind": "connect"}), ("no kind", INCONSISTENT, {"kind": ""}),
                ("no protocol", INCONSISTENT, {"protocols": ()}), ("nothing in common", INCONSISTENT, {"protocols": (("x", b""),)}),
                ("an id from nowhere", UNKNOWN_MEMBER, {"member": "who"}), ("nobody's instance", UNKNOWN_MEMBER, {"member": joined.member, "instance": "i"})):
            with self.subTest(what=what):
                self.assertEqual(client.join(**{"group": "g", **words}).error, want)
        self.assertEqual(client.heartbeat("g", 1, "who"), UNKNOWN_MEMBER)
        self.assertEqual(client.heartbeat("never", 1, "who"), UNKNOWN_MEMBER)
        self.assertEqual(client.sync("g", 7, joined.member)[0], ILLEGAL_GENERATION)
        self.assertEqual(client.sync("g", 1, joined.member, version=5, protocol="x")[0], INCONSISTENT)
        self.assertEqual(client.leave("g", "who", joined.member), (0, [UNKNOWN_MEMBER, 0]))
        self.spawn("consume", "t", "--group", "native", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.until("it is there", lambda: b"stable" in self.mesh("group", "describe", "native", code=None).out)
        self.assertEqual(client.join("native").error, INCONSISTENT)
        self.until("it is told to people", lambda: "may not join a group" in self.broker.log())

    def test_who_says_too_much_is_not_told_to_come_again(self):
        """More than the leader is asked with: an error that clients do not retry for ever (14), nor take for one of messages (10)."""
        self.start_broker(options=["--set", "groups.gather.ms=0"])
        joined = self.member("g", session_ms=120000, rebalance_ms=120000)
        big = b"m" * (5 << 20)
        self.assertEqual(self.client().join("h", protocols=(("range", big),)).error, UNKNOWN)
        self.assertEqual(joined.client.sync("g", 1, joined.member, {joined.member: big}), (UNKNOWN, b""))
        self.assertEqual(joined.client.sync("g", 1, joined.member, {joined.member: b"less"}), (0, b"less"))

    def test_members_wait_at_any_broker_and_go_on_after_a_kill(self):
        brokers = self.launch_together(3, options=["--set", "groups.gather.ms=0"])
        self.wait_coordinator(brokers)
        self.mesh("topic", "create", "t")
        node = self.coordinator(self.client(brokers[0]), "g")
        nodes = self.client(brokers[0]).metadata()[1]
        killed = next(broker for broker in brokers if broker.address == "%s:%d" % nodes[node])
        one, two = (broker for broker in brokers if broker is not killed)
        first = self.member("g", broker=one, version=3, session_ms=30000)  # sent on to the coordinator
        self.assertEqual(first.client.sync("g", first.generation, first.member, {first.member: b"x"}), (0, b"x"))
        second = self.client(two)
        second.send_join("g", version=3, session_ms=30000)
        self.until("the first one hears of it", lambda: first.client.heartbeat("g", first.generation, first.member) == REBALANCING)
        again = first.client.join("g", first.member, version=3, session_ms=30000)
        told = second.take_join(3)
        self.assertEqual((again.error, told.error, told.generation), (0, 0, again.generation))
        second.send_sync("g", told.generation, told.member)
        self.assertEqual(first.client.sync("g", told.generation, first.member, {first.member: b"a", told.member: b"b"}), (0, b"a"))
        self.assertEqual(second.take_sync(), (0, b"b"))
        news = (("range", b"news"),)
        first.client.send_join("g", first.member, version=3, session_ms=30000, protocols=news)
        self.until("the second one hears of it", lambda: second.heartbeat("g", told.generation, told.member) == REBALANCING)
        killed.kill()
        self.until("they are members still", lambda: second.heartbeat("g", told.generation, told.member) in (0, REBALANCING), one, two)
        self.until("and may commit", lambda: second.commit("g", {"t": {0: 0}}, generation=told.generation, member=told.member) == {"t": {0: 0}})
        self.until("who waited still wants something new", lambda: second.heartbeat("g", told.generation, told.member) == REBALANCING)
        second.send_join("g", told.member, version=3, session_ms=30000)
        again, last = first.client.take_join(3), second.take_join(3)
        self.assertEqual((last.error, again.error, again.generation), (0, 0, told.generation + 1))
        self.assertIn(again.leader, (first.member, told.member))
        metadata = {**again.members, **last.members}[first.member][1]
        self.assertEqual(metadata, b"news")

    # ---- administrators ----

    def test_lists_tell_of_the_type_and_of_who_is_joining(self):
        self.start_broker(options=["--set", "groups.gather.ms=0"])
        workers = self.member("c", kind="connect")
        client = self.client()
        self.assertEqual(workers.client.sync("c", 1, workers.member, {workers.member: b"all"}, kind="connect")[0], 0)
        self.assertEqual(client.list_groups()[1], {"c": ("connect", "Stable", "Classic")})
        second = self.client()
        second.send_join("c", version=3, kind="connect")  # and waits until the other one has come again, too
        self.until("it is told", lambda: client.list_groups()[1] == {"c": ("connect", "PreparingRebalance", "Classic")})
        self.assertEqual(set(client.list_groups(states=("Stable",))[1]), set())
        self.assertEqual(client.describe_groups("c")["c"][1:3], ("PreparingRebalance", "connect"))

    def test_groups_are_described_listed_and_deleted(self):
        self.start_broker(options=["--set", "groups.gather.ms=0"])
        self.mesh("topic", "create", "t", "--partitions", "2")
        first = self.member("g", instance="i")
        client = self.client()
        self.assertEqual(client.describe_groups("g")["g"], (0, "CompletingRebalance", "consumer", "range", {first.member: ("i", b"m", b"")}))
        self.assertEqual(first.client.sync("g", 1, first.member, {first.member: b"all"}), (0, b"all"))
        self.assertEqual(client.commit("h", {"t": {0: 0, 1: 0}}), {"t": {0: 0, 1: 0}})
        self.spawn("consume", "t", "--group", "ours", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.until("it is there", lambda: client.describe_groups("ours")["ours"][1] == "Stable")
        for version in range(7):
            told = client.describe_groups("g", "h", "ours", "never", version=version)
            self.assertEqual(told["g"], (0, "Stable", "consumer", "range", {first.member: ("i" if version >= 4 else None, b"m", b"all")}))
            self.assertEqual(told["h"], (0, "Empty", "", "", {}))
            self.assertEqual(told["ours"][:3] + (len(told["ours"][4]),), (0, "Stable", "consumer", 1))
            self.assertEqual(told["never"], (GROUP_NOT_FOUND if version >= 6 else 0, "Dead", "", "", {}))
        want = {"g": ("consumer", "Stable", "Classic"), "h": ("", "Empty", "Classic"), "ours": ("consumer", "Stable", "Consumer")}
        for version in range(6):
            error, told = client.list_groups(version)
            self.assertEqual((error, told), (0, {name: (kind, state if version >= 4 else None, sort if version >= 5 else None)
                                                 for name, (kind, state, sort) in want.items()}))
        self.assertEqual(set(client.list_groups(states=("empty",))[1]), {"h"})
        self.assertEqual(set(client.list_groups(states=("Stable", "Dead"), types=("classic",))[1]), {"g"})
        self.assertEqual(client.delete_offsets("h", {"t": [0, 7], "u": [0]}), (0, {"t": {0: 0, 7: 0}, "u": {0: UNKNOWN_TOPIC}}))
        self.assertEqual(client.committed("h", None), (0, {"t": {1: (0, -1, "", 0)}}))
        self.assertEqual(client.delete_offsets("g", {"t": [0]}), (NON_EMPTY_GROUP, {}))
        self.assertEqual(client.delete_offsets("never", {"t": [0]}), (GROUP_NOT_FOUND, {}))
        for version in range(4):
            self.assertEqual(client.delete_groups("g", "never", version=version), {"g": NON_EMPTY_GROUP, "never": GROUP_NOT_FOUND})
        self.assertEqual(client.delete_groups("h"), {"h": 0})
        self.assertEqual(client.committed("h", None), (0, {}))

    def test_every_broker_lists_what_it_coordinates(self):
        brokers = self.launch_together(3)
        self.wait_coordinator(brokers)
        self.mesh("topic", "create", "t")
        clients = [self.client(broker) for broker in brokers]
        names = {f"group-{n}" for n in range(12)}
        for name in names:
            self.until("it is taken", lambda n=name: clients[0].commit(n, {"t": {0: 0}}) == {"t": {0: 0}}, *brokers)
        lists = []

        def are_whole():
            lists[:] = [set(client.list_groups()[1]) for client in clients]
            return sum(map(len, lists)) == len(names)
        self.until("each group is in one list", are_whole)
        self.assertEqual(set().union(*lists), names)

    # ---- a client of the wild ----

    def consumer(self, group, topic, name):
        """A kcat that consumes with a group, into a file."""
        path = self.path(name)
        with open(path, "wb") as file:
            child = subprocess.Popen(["kcat", "-b", ",".join(broker.address for broker in self.all_brokers), "-q", "-u", "-X", "auto.offset.reset=earliest",
                                      "-X", "session.timeout.ms=6000", "-G", group, topic], stdout=file, stderr=subprocess.DEVNULL, env=environment())
        self.children.append(child)
        return child, path

    def test_kcat_shares_a_topic_and_goes_on_after_kills(self):
        if shutil.which("kcat") is None:
            if os.environ.get("MESH_TEST_TOOLS") == "all":
                self.fail("kcat is not installed")
            self.skipTest("kcat is not installed")
        self.all_brokers = brokers = self.launch_together(3)
        self.wait_coordinator(brokers)
        self.mesh("topic", "create", "t", "--partitions", "4", "--replicas", "3")
        (first, one), (_, two) = self.consumer("g", "t", "one"), self.consumer("g", "t", "two")
        client = self.client(brokers[0])
        self.until("both are members", lambda: [told for told in [client.describe_groups("g")["g"]] if told[1] == "Stable" and len(told[4]) == 2])
        lines = [b"%d" % n for n in range(2000)]

        def produce(some):
            parts = [some[n::4] for n in range(4)]
            for number, part in enumerate(parts):
                self.mesh("produce", "t", "--partition", number, stdin=b"\n".join(part) + b"\n")

        def got(*paths):
            return [line for path in paths for line in open(path, "rb").read().split(b"\n")[:-1]]
        produce(lines[:1000])
        self.until("all are there", lambda: set(got(one, two)) == set(lines[:1000]))
        self.assertEqual(len(got(one, two)), 1000)  # each once
        self.assertGreater(min(len(got(one)), len(got(two))), 100)
        first.kill()
        node = self.coordinator(client, "g")
        address = "%s:%d" % client.metadata()[1][node]
        next(broker for broker in brokers if broker.address == address).kill()
        self.mesh("status", broker=next(broker for broker in brokers if broker.address != address), code=None)
        self.broker = next(broker for broker in brokers if broker.address != address)
        produce(lines[1000:])
        self.until("the other one has the rest", lambda: set(lines[1000:]) <= set(got(two)))


if __name__ == "__main__":
    main()

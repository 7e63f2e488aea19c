#!/usr/bin/env python3
"""A broker's start and stop: what it says, what it refuses, and what stays."""
import json
import os
import signal
import socket
import struct
import subprocess
import time
import unittest

from harness import Case, MESH, environment, main, under_sanitizer


class StartStop(Case):
    def test_ready_line_and_file_agree(self):
        broker = self.start_broker(options=["--name", "alpha", "--zone", "z1"])
        with open(self.path("data", "ready.json"), encoding="utf-8") as file:
            ready = json.load(file)
        self.assertEqual(set(ready), {"address", "cluster", "broker", "name", "pid"})
        self.assertEqual(broker.ready, f"mesh: ready on {ready['address']} cluster={ready['cluster']} broker={ready['broker']}")
        self.assertEqual((ready["name"], ready["pid"]), ("alpha", broker.pid))
        status = self.mesh("status", "--json").json
        self.assertEqual((status["cluster"], status["coordinator"]), (ready["cluster"], ready["broker"]))
        self.assertEqual(status["brokers"][0]["zone"], "z1")

    def test_a_log_for_programs_holds_nothing_else(self):
        broker = self.new_broker(data=self.path("a folder"), env={"MESH_LOG_FORMAT": "json"})
        broker.launch()
        ready = json.loads(broker.wait_line('"msg":"ready"') or "{}")
        self.assertIn("address", ready, broker.log())
        with open(self.path("a folder", "ready.json"), encoding="utf-8") as file:
            self.assertEqual(ready["address"], json.load(file)["address"])
        other = self.new_broker(data=self.path("a folder"), options=["--log-format", "json"])
        other.launch()
        self.assertEqual(other.wait(), 1, other.log())  # another broker uses the folder
        self.assertEqual(broker.stop(), 0, broker.log())
        for line in broker.lines + other.lines:
            self.assertLessEqual({"time", "level", "msg"}, set(json.loads(line)), line)
        last = json.loads(other.lines[-1])
        self.assertEqual((last["level"], last["msg"], last["data"]), ("error", "the broker ends", self.path("a folder")))
        broker = self.new_broker(env={"MESH_LOG_FORMAT": "json"}, options=["--log-format", "logfmt"])
        broker.launch()
        self.assertIsNotNone(broker.wait_line(" level=info msg=\"ready\" address=127.0.0.1:"), broker.log())
        self.assertEqual(broker.stop(), 0, broker.log())
        for line in broker.lines:
            self.assertRegex(line, r'^time=\S+Z level=[a-z]+ msg="([^"\\]|\\.)*"( [a-z][a-z0-9_]*=("([^"\\]|\\.)*"|[^ "=]+))*$')

    def test_the_least_level_that_is_logged(self):
        quiet = self.start_broker(options=["--log-level", "error"])
        self.assertEqual(quiet.stop(), 0)
        self.assertEqual([line for line in quiet.lines if " info " in line or " warn " in line], [])
        said = self.start_broker(options=["--quiet", "--log-level", "info"])
        self.assertEqual(said.stop(), 0)
        self.assertNotEqual([line for line in said.lines if " info " in line], [])

    def test_a_misspelt_variable_ends_the_start_and_leaves_nothing(self):
        broker = self.new_broker(env={"MESH_CONECTIONS_MAX": "5", "MESH_SERVICE_HOST": "10.0.0.1"})
        broker.launch()
        self.assertEqual(broker.wait(), 2, broker.log())
        self.assertIn("did you mean MESH_CONNECTIONS_MAX?", broker.log())
        self.assertFalse(os.path.exists(self.path("data")))

    def test_identity_topics_and_records_survive_stops(self):
        broker = self.start_broker()
        before = self.mesh("status", "--json").json
        self.mesh("topic", "create", "kept", "--partitions", "2", "--set", "flush=async")
        for number, sign in enumerate((signal.SIGTERM, signal.SIGINT)):
            self.mesh("produce", "kept", "--partition", "1", stdin=b"%d\n" % number)
            described = self.mesh("topic", "describe", "kept", "--json").json
            self.assertEqual(broker.stop(sign), 0, broker.log())
            self.assertFalse(os.path.exists(self.path("data", "ready.json")))
            broker.start()
            self.assertEqual(self.mesh("topic", "describe", "kept", "--json").json["partitions"][1]["high_watermark"], number + 1)
            self.assertEqual(self.mesh("topic", "describe", "kept", "--json").json["id"], described["id"])
        after = self.mesh("status", "--json").json
        self.assertEqual((after["cluster"], after["coordinator"]), (before["cluster"], before["coordinator"]))
        self.assertEqual(self.mesh("consume", "kept", "--until-end").out, b"0\n1\n")

    def test_stop_finishes_what_is_in_flight(self):
        broker = self.start_broker()
        self.mesh("topic", "create", "flight")
        receipts = self.path("receipts")
        os.mkfifo(receipts)
        producer = self.spawn("produce", "flight", "--receipts", receipts, "--timeout", "10s", "--quiet", stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        feeder = subprocess.Popen(["seq", "100000000"], stdout=producer.stdin)
        self.children.append(feeder)
        producer.stdin.close()
        producer.stdin = None
        acknowledged = 0
        with open(receipts, "rb") as file:
            while acknowledged < 200_000:
                acknowledged = json.loads(file.readline())["last_offset"] + 1
            self.assertEqual(broker.stop(), 0, broker.log())
            for line in file:
                acknowledged = json.loads(line)["last_offset"] + 1
        self.assertEqual(producer.wait(60), 1)
        broker.start()
        out = self.mesh("consume", "flight", "--count", str(acknowledged), "--timeout", "60s").out
        self.assertEqual(out, b"".join(b"%d\n" % n for n in range(1, acknowledged + 1)))

    def test_start_after_a_clean_stop_says_nothing_of_recovery(self):
        broker = self.start_broker()
        self.mesh("produce", "t", stdin=b"x\n" * 10000)
        self.assertEqual(broker.stop(), 0)
        broker.start()
        self.assertEqual([line for line in broker.lines if " error " in line or "torn" in line and "torn_tails=0" not in line], [])
        self.assertTrue(any("recovered clean=yes" in line for line in broker.lines), broker.log())

    def refused_start(self, *words, said, code=1):
        done = subprocess.run([MESH, "serve", *words], capture_output=True, env=environment(), timeout=60)
        text = done.stderr.decode(errors="replace")
        self.assertEqual(done.returncode, code, text)
        for part in said:
            self.assertIn(part, text)
        self.assertNotIn("mesh: ready on", text)

    def test_second_broker_on_the_same_data_is_refused(self):
        self.start_broker()
        self.refused_start("--data", self.path("data"), "--listen", "127.0.0.1:0", said=["another broker is running", "--data"])
        self.assert_serves()

    def test_port_in_use_is_refused(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen(1)
            port = str(other.getsockname()[1])
            self.refused_start("--data", self.path("data"), "--listen", f"127.0.0.1:{port}", said=[port, "Address already in use", "--listen"])

    def test_port_of_another_broker_is_refused(self):
        broker = self.start_broker()
        self.refused_start("--data", self.path("other"), "--listen", broker.address, said=[broker.address.split(":")[1], "in use"])
        self.assert_serves()

    def test_data_that_cannot_be_written_is_refused(self):
        with open(self.path("file"), "w", encoding="ascii") as file:
            file.write("not a directory")
        self.refused_start("--data", self.path("file"), "--listen", "127.0.0.1:0", said=[self.path("file")])
        self.refused_start("--data", self.path("file", "below"), "--listen", "127.0.0.1:0", said=[self.path("file", "below")])

    def test_read_only_directory_is_refused(self):
        os.mkdir(self.path("readonly"))
        if os.geteuid() == 0:
            if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", self.path("readonly")], capture_output=True).returncode != 0:
                self.skipTest("root may write everywhere, and mounting is not allowed here")
            self.addCleanup(subprocess.run, ["umount", self.path("readonly")], capture_output=True)
        else:
            os.chmod(self.path("readonly"), 0o555)
        self.refused_start("--data", self.path("readonly"), "--listen", "127.0.0.1:0", said=[self.path("readonly")])
        if os.geteuid() == 0:
            subprocess.run(["umount", self.path("readonly")], capture_output=True, check=False)

    def test_addresses_that_make_no_sense_are_refused(self):
        for listen in ("nonsense", "127.0.0.1", "127.0.0.1:99999", "127.0.0.1:-1", "127.0.0.1:x", ":"):
            with self.subTest(listen):
                done = subprocess.run([MESH, "serve", "--data", self.path("d"), "--listen", listen], capture_output=True,
                                      env=environment(), timeout=60)
                self.assertIn(done.returncode, (1, 2), done.stderr)
                self.assertTrue(done.stderr.strip())

    def test_settings_come_from_file_environment_and_options(self):
        with open(self.path("mesh.conf"), "w", encoding="ascii") as file:
            file.write("# for the test\ntopic.partitions = 2\nname = from-file\n")
        self.start_broker(options=["--config", self.path("mesh.conf"), "--set", "topic.flush=async"], env={"MESH_TOPIC_PARTITIONS": "3"})
        self.mesh("topic", "create", "t")
        topic = self.mesh("topic", "describe", "t", "--json").json
        self.assertEqual((len(topic["partitions"]), topic["configs"]["flush"]), (3, "async"))
        self.assertEqual(self.mesh("status", "--json").json["brokers"][0]["name"], "from-file")

    def test_a_start_that_is_refused_makes_nothing(self):
        """Wrong flags, file and environment, no key or a bad one, a port or an address that cannot be had, no directory: one line of what, where and what to
        do, the class as exit code, and nothing on disk."""
        key, config, open_key = self.path("key"), self.path("mesh.conf"), self.path("open.key")
        with open(key, "w", encoding="ascii") as file:
            file.write("no key\n")
        os.chmod(key, 0o600)
        self.mesh("key", "generate", "--key-file", open_key)
        os.chmod(open_key, 0o644)
        with open(config, "w", encoding="ascii") as file:
            file.write("data = " + self.path("d") + "\n\nzome = a\n")
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen(1)
            cases = [
                (["serve", "--lisen", "127.0.0.1:0"], {}, 2, ["--lisen", "--listen"]),
                (["serve", "--set", "conections.max=1"], {}, 2, ["conections.max", "did you mean connections.max?"]),
                (["serve", "--set", "connections.max=none"], {}, 2, ["connections.max", "from 1 to"]),
                (["serve", "--config", config], {}, 2, [config + ":3", "zome", "did you mean zone?"]),
                (["serve", "--config", self.path("none")], {}, 1, [self.path("none"), "No such file"]),
                (["serve"], {"MESH_SHARDS": "many"}, 2, ["MESH_SHARDS", "many"]),
                (["serve", "--set", "topic.flsh=async"], {}, 2, ["flsh"]),
                (["serve", "--set", "tls.certificate=" + self.path("none")], {}, None, ["TLS"]),
                (["serve", "--key-file", self.path("none")], {}, 1, [self.path("none"), "mesh key generate"]),
                (["serve", "--key-file", key], {}, 2, [key, "mesh key show"]),
                (["serve", "--key-file", self.path()], {}, None, [self.path(), "--key-file"]),
                (["join", "127.0.0.1:1", "--key-file", open_key], {}, 1, [open_key, "chmod 600"]),
                (["join", "127.0.0.1:1"], {"XDG_CONFIG_HOME": self.path("none")}, 1, ["mesh key show", "--key-file"]),
                (["serve", "--zone", ""], {}, 2, ["--zone"]),
                (["serve", "--advertise", "127.0.0.1:0"], {}, 2, ["127.0.0.1:0", "--advertise", "HOST:PORT"]),
                (["serve", "--advertise", "0.0.0.0"], {}, 2, ["0.0.0.0", "nobody can dial it", "--advertise"]),
                (["serve", "--advertise", "no.such.host.invalid"], {}, None, ["no.such.host.invalid", "--advertise"]),
                (["serve", "--data", key], {}, 1, [key, "--data", "Not a directory"]),
                (["serve", "--data", os.path.join(key, "d")], {}, 1, [os.path.join(key, "d"), "--data", "Not a directory"]),
                (["serve", "--listen", "192.0.2.1:9092"], {}, 1, ["192.0.2.1", "9092", "0.0.0.0"]),
                (["join", "://"], {}, 2, ["://", "is no seed"]),
                (["serve", "--listen", f"127.0.0.1:{other.getsockname()[1]}"], {}, 1, [str(other.getsockname()[1]), "in use", "--listen HOST:PORT"]),
                (["serve", "--listen", "nonsense"], {}, 2, ["nonsense", "HOST:PORT"]),
            ]
            for words, env, code, said in cases:
                with self.subTest(words):
                    before = sorted(os.listdir(self.path()))
                    listen = [] if any(word.startswith("--lis") for word in words) else ["--listen", "127.0.0.1:0"]
                    data = [] if "--data" in words else ["--data", self.path("d")]
                    done = subprocess.run([MESH, *words, *listen, *data], capture_output=True, env=environment(env), timeout=60)
                    text = done.stderr.decode()
                    self.assertGreater(done.returncode, 0, text)
                    if code is not None:
                        self.assertEqual(done.returncode, code, text)
                    for part in said:
                        self.assertIn(part, text)
                    self.assertEqual(len([line for line in text.splitlines() if "--help' tells" not in line]), 1, text)
                    self.assertEqual(sorted(os.listdir(self.path())), before, "something was made")

    @unittest.skipIf(under_sanitizer(), "its runtime wants to be loaded first")
    def test_a_clock_that_was_never_set_ends_the_start_and_leaves_nothing(self):
        """A machine that began in 1970: records would be deleted for their age as they come."""
        with open(self.path("shift"), "wb") as file:
            file.write(struct.pack("=q", -int(time.time() * 1000)))
        env = {"LD_PRELOAD": os.environ["MESH_CLOCK"], "CHAOS_CLOCK_FILE": self.path("shift")}
        words = ["--data", self.path("d"), "--listen", "127.0.0.1:0"]
        for start in (["serve", *words], ["join", "127.0.0.1:1", *words]):
            with self.subTest(start):
                failed = self.mesh(*start, code=1, env=env)
                lines = failed.err.decode().splitlines()
                self.assertEqual(len(lines), 1, str(failed))
                self.assertRegex(lines[0], r"the clock of this machine is wrong, it says 1970-01-01T\S+: set it \(.*\) and start again")
        found = [check for check in self.mesh("doctor", "--json", *words, code=1, env=env).json["checks"] if check["check"] == "clock"]
        self.assertEqual([check["state"] for check in found], ["error"], found)
        self.assertEqual(os.listdir(self.path()), ["shift"])

    @unittest.skipUnless(os.geteuid() == 0, "only root may become somebody else")
    def test_a_user_without_permissions_is_told_what_is_missing(self):
        """Directory, port, key, file of settings: one line of what, where and what to do, and nothing is made."""
        nobody = 65534
        os.chmod(os.path.dirname(self.path()), 0o711)
        os.chmod(self.path(), 0o711)
        os.mkdir(self.path("ours"), 0o755)
        os.mkdir(self.path("closed"), 0o700)
        os.mkdir(self.path("theirs"))
        os.chown(self.path("theirs"), nobody, nobody)
        self.mesh("key", "generate", "--key-file", self.path("key"))
        with open(self.path("mesh.conf"), "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write("zone = a\n")
        data = ["--data", self.path("theirs", "d")]
        cases = [
            (["--data", self.path("closed", "d")], [self.path("closed", "d"), "Permission denied", "--data"]),
            (["--data", self.path("ours", "d")], [self.path("ours", "d"), "this user may write", "Permission denied"]),
            ([*data, "--key-file", self.path("key")], [self.path("key"), "cannot be read: Permission denied", "--key-file"]),
            ([*data, "--config", self.path("mesh.conf")], [self.path("mesh.conf"), "Permission denied"]),
        ]
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
            if int(file.read()) > 80:
                cases.append(([*data, "--listen", "127.0.0.1:80"], ["port 80", "Permission denied", "CAP_NET_BIND_SERVICE", "--listen"]))
        for words, said in cases:
            with self.subTest(words):
                listen = [] if "--listen" in words else ["--listen", "127.0.0.1:0"]
                env = environment({"HOME": self.path("none"), "XDG_CONFIG_HOME": ""})
                try:
                    done = subprocess.run([MESH, "serve", *words, *listen], capture_output=True, env=env, timeout=60, user=nobody, group=nobody, extra_groups=[], cwd="/")
                except OSError as error:
                    self.skipTest(f"nobody cannot run it: {error}")
                text = done.stderr.decode()
                self.assertEqual(done.returncode, 1, text)
                for part in said:
                    self.assertIn(part, text)
                self.assertEqual(len(text.splitlines()), 1, text)
                self.assertEqual([name for folder in ("ours", "closed", "theirs") for name in os.listdir(self.path(folder))], [], "something was made")

    def test_a_user_without_a_home_has_its_key_beside_the_records(self):
        self.start_broker(self.path("d"), env={"HOME": self.path("none"), "XDG_CONFIG_HOME": os.path.join(__file__, "none")})
        self.assertTrue(os.path.exists(self.path("d", "key")))
        self.assert_serves()
        self.broker.stop()
        self.start_broker(self.path("d"), env={"HOME": self.path("none"), "XDG_CONFIG_HOME": os.path.join(__file__, "none")})
        self.assert_serves()

    def test_unknown_topic_default_is_refused_at_start(self):
        self.refused_start("--data", self.path("d"), "--listen", "127.0.0.1:0", "--set", "topic.flsh=async", said=["flsh"], code=2)


if __name__ == "__main__":
    main()

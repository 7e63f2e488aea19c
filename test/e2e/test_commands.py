#!/usr/bin/env python3
"""The command line without a broker: help, usage, exit codes, suggestions, man page and completions."""
import os
import shutil
import socket
import subprocess
import time
import unittest

from harness import Case, MESH, main

COMMANDS = ["serve", "join", "leave", "members", "key show", "key generate", "key list", "key rotate", "topic create", "topic list",
            "topic describe", "topic alter", "topic delete", "group list", "group describe", "group lag", "group reset", "group delete", "produce", "consume", "status", "events", "drain", "config list", "config get", "config set", "config unset", "top", "doctor", "why",
            "bench produce", "bench consume", "bench latency", "bench groups", "version", "help"]
CLIENT_COMMANDS = [("topic", "create", "t"), ("topic", "list"), ("topic", "describe", "t"), ("topic", "alter", "t", "--partitions", "2"),
                   ("topic", "delete", "t"), ("produce", "t"), ("consume", "t"), ("status",), ("events",), ("drain",), ("config", "list"), ("config", "get", "log-level"), ("config", "set", "log-level=info"), ("config", "unset", "log-level"), ("top",), ("why", "t/0"), ("members",), ("leave",),
                   ("key", "list"), ("key", "rotate"), ("bench", "produce"),
                   ("bench", "consume"), ("bench", "latency"), ("bench", "groups")]
DOCS = os.environ.get("MESH_DOCS", "")


class Commands(Case):
    def test_every_command_explains_itself(self):
        overview = self.mesh("help").out.decode()
        for command in COMMANDS:
            with self.subTest(command):
                by_option = self.mesh(*command.split(), "--help")
                self.assertTrue(by_option.out.decode().startswith(f"Usage: mesh {command}"), by_option)
                self.assertEqual(self.mesh("help", *command.split()).out, by_option.out)
                self.assertIn(f"  {command}", overview)
                self.assertIn(b"--help", by_option.out)

    def test_help_knows_its_subjects(self):
        for subject in ("formats", "values", "exit", "environment", "settings", "topic", "bench"):
            self.assertGreater(len(self.mesh("help", subject).out), 200, subject)
        self.mesh("help", "nonsense", code=2)

    def test_no_command_is_wrong_usage_with_the_overview(self):
        result = self.mesh(code=2)
        self.assertEqual(result.out, b"")
        self.assertIn(b"Usage: mesh COMMAND", result.err)

    def test_version(self):
        self.assertRegex(self.mesh("version").out, rb"^mesh \d+\.\d+\.\d+\n$")
        self.assertEqual(self.mesh("--version").out, self.mesh("version").out)

    def test_wrong_usage_is_exit_code_2_with_a_suggestion(self):
        for words, said in [
            (("prodcue", "t"), "did you mean 'produce'?"),
            (("topic", "creat", "t"), "did you mean 'topic create'?"),
            (("join",), "an argument is missing"),
            (("join", "host:0"), "'host:0' is no seed"),
            (("membres",), "did you mean 'members'?"),
            (("key", "rotat"), "did you mean 'key rotate'?"),
            (("acl", "list"), "there is no command 'acl'"),
            (("topic",), "Commands:"),
            (("produce",), "an argument is missing"),
            (("produce", "t", "--partiton", "1"), "did you mean --partition?"),
            (("produce", "t", "--partition", "-1"), "'-1' is not a whole number"),
            (("produce", "t", "--format", "files"), "needs the names of files"),
            (("produce", "t", "--format", "length-prefixed", "--keep-newlines"), "--keep-newlines"),
            (("consume", "t", "--count", "-1"), "'-1' is not a whole number"),
            (("consume", "t", "--from", "noon"), "beginning, end, offset:N, time:T"),
            (("consume", "t", "--output", "d"), "--format files only"),
            (("topic", "create", "t", "--partitions", "-4"), "'-4' is not a whole number"),
            (("topic", "create", "t", "--partitions", "0"), "'0' is not a whole number"),
            (("topic", "create", "t", "--replicas", "-1"), "'-1' is not a whole number"),
            (("topic", "alter", "t"), "nothing to change"),
            (("serve", "--set", "conections.max=5"), "did you mean connections.max?"),
            (("serve", "--set", "connections.max=-5"), "connections.max"),
            (("serve", "--broker", "x"), "there is no option --broker"),
            (("status", "--broker", "not a host:port:x"), "HOST:PORT"),
            (("bench", "produce", "--topic", "t", "--partitions", "3"), "temporary topic"),
        ]:
            with self.subTest(words):
                result = self.mesh(*words, code=2)
                self.assertIn(said, result.err.decode(), str(result))
                self.assertNotIn(b"Usage: mesh COMMAND", result.out)

    def test_settings_of_a_file_are_judged(self):
        for text, said in [("connections.maxx = 1\n", ":1: there is no setting"), ("\nnonsense\n", ":2: 'nonsense' is not of the form")]:
            with open(self.path("mesh.conf"), "w", encoding="ascii") as file:
                file.write(text)
            self.assertIn(said, self.mesh("serve", "--data", self.path("d"), "--config", self.path("mesh.conf"), code=2).err.decode())
        self.mesh("serve", "--data", self.path("d"), "--config", self.path("absent"), code=1)
        self.assertFalse(os.path.exists(self.path("d")))

    def test_no_broker_is_exit_code_3(self):
        with socket.socket() as nobody:  # bound, not listening: connections are refused, and nobody else gets the port
            nobody.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{nobody.getsockname()[1]}"
            for words in CLIENT_COMMANDS:
                with self.subTest(words):
                    result = self.mesh(*words, "--broker", address, "--timeout", "300ms", code=3, stdin=b"x\n")
                    self.assertEqual(result.err.count(b"mesh serve"), 1, str(result))  # what to do, once
            result = self.mesh("status", "--broker", address, "--timeout", "300ms", "--json", code=3)
            self.assertEqual(result.json["error"]["name"], "UNREACHABLE")

    def test_refusals_end_early_unless_a_timeout_is_given(self):
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{nobody.getsockname()[1]}"
            for words in [("status",), ("produce", "t"), ("consume", "t")]:
                with self.subTest(words):
                    start = time.monotonic()
                    self.mesh(*words, "--broker", address, code=3, stdin=b"x\n")
                    self.assertLess(time.monotonic() - start, 30, "as long as without an answer")
            start = time.monotonic()
            self.mesh("status", "--broker", address, "--timeout", "4s", code=3)
            self.assertGreaterEqual(time.monotonic() - start, 3)

    def test_host_that_does_not_exist_is_exit_code_3(self):
        self.mesh("status", "--broker", "no-such-host.invalid:9092", "--timeout", "2s", code=3)

    def test_broker_that_never_answers_is_exit_code_4(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(64)
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            for words in [("status",), ("topic", "list"), ("produce", "t"), ("consume", "t")]:
                with self.subTest(words):
                    result = self.mesh(*words, "--broker", address, "--timeout", "300ms", stdin=b"x\n", code=None)
                    self.assertIn(result.code, (3, 4), str(result))

    @unittest.skipUnless(DOCS, "MESH_DOCS is not set")
    def test_man_page_is_well_formed(self):
        with open(os.path.join(DOCS, "mesh.1"), encoding="utf-8") as file:
            page = file.read()
        for command in COMMANDS:
            self.assertIn(command.replace("-", "\\-"), page)
        if shutil.which("groff"):
            done = subprocess.run(["groff", "-ww", "-z", "-man", os.path.join(DOCS, "mesh.1")], capture_output=True, timeout=60)
            self.assertEqual((done.returncode, done.stderr), (0, b""))

    @unittest.skipUnless(DOCS, "MESH_DOCS is not set")
    def test_completions_parse_and_complete(self):
        for shell, file in [("bash", "mesh"), ("zsh", "_mesh"), ("fish", "mesh.fish")]:
            if shutil.which(shell):
                done = subprocess.run([shell, "-n", os.path.join(DOCS, "completions", file)], capture_output=True, timeout=60)
                self.assertEqual((done.returncode, done.stderr), (0, b""), shell)
        script = (f"source {os.path.join(DOCS, 'completions', 'mesh')}; "
                  'ask() { COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _mesh; echo "${COMPREPLY[@]}"; }; '
                  'ask mesh pro; ask mesh topic cr; ask mesh consume t --fo; ask mesh consume --format js; ask mesh help form; ask mesh config set moves.per; ask mesh config set log-level=debug memory.b')
        done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=60, text=True)
        self.assertEqual(done.stdout.split("\n"), ["produce", "create", "--format", "json", "formats", "moves.per.broker", "memory.bytes.max", ""])

    def test_output_to_a_full_disk_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([MESH, "help"], stdout=full, stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"no space left", done.stderr)
        self.assertNotIn(b"broker", done.stderr, "the remedy for a broker's disk is none for ours")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The commands about users: where passwords come from, what is kept, what is refused."""
import os
import pty
import select
import subprocess

from harness import Case, main


class UserCommands(Case):
    def setUp(self):
        super().setUp()
        self.start_broker()

    def refuse(self, name, *words, said=b"", **keywords):
        result = self.mesh(*words, "--json", code=1, **keywords)
        self.assertEqual(result.json["error"]["name"], name, str(result))
        self.assertIn(said, result.err)

    def users(self):
        return [user["name"] for user in self.mesh("user", "list", "--json").json["users"]]

    def test_users_come_and_go(self):
        self.assertEqual(self.users(), [])
        self.assertEqual(self.mesh("user", "add", "bob", "--json", stdin=b"pencil\n").json, {"name": "bob", "result": "added"})
        self.mesh("user", "add", "alice, the first", "--iterations", "4096", stdin=b"pencil")
        self.assertEqual(self.mesh("user", "list", "--json").json, {"users": [
            {"name": "alice, the first", "mechanisms": ["SCRAM-SHA-256", "SCRAM-SHA-512"], "iterations": 4096},
            {"name": "bob", "mechanisms": ["SCRAM-SHA-256", "SCRAM-SHA-512"], "iterations": 8192}]})
        self.assertIn(b"bob", self.mesh("user", "list").out)
        self.refuse("EXISTS", "user", "add", "bob", stdin=b"other\n", said=b"already")
        self.mesh("user", "passwd", "bob", "--iterations", "5000", stdin=b"other\n")
        self.assertEqual([user["iterations"] for user in self.mesh("user", "list", "--json").json["users"]], [4096, 5000])
        self.refuse("NOTFOUND", "user", "passwd", "carol", stdin=b"pencil\n")
        self.refuse("NOTFOUND", "user", "remove", "carol")
        self.mesh("user", "remove", "bob")
        self.assertEqual(self.users(), ["alice, the first"])
        broker = self.brokers[0]
        broker.stop()
        broker.start()
        self.assertEqual(self.users(), ["alice, the first"])

    def test_passwords_come_from_files_and_pipes(self):
        path = self.path("password")
        with open(path, "wb") as file:
            file.write(b"pencil\r\nnot this\n")
        self.mesh("user", "add", "alice", "--password-file", path)
        self.assertEqual(self.users(), ["alice"])
        self.refuse("IO", "user", "add", "bob", "--password-file", path + "-not")
        for password, said in ((b"", b"empty"), (b"\nsecond\n", b"empty"), (b"a\0b\n", b"NUL"), (b"x" * 1025, b"longer")):
            self.refuse("INVAL", "user", "add", "bob", stdin=password, said=said)
        self.mesh("user", "add", "bob", stdin=b"x" * 1024)
        self.mesh("user", "add", "x" * 255, stdin=b"pencil")
        self.refuse("INVAL", "user", "add", "x" * 256, stdin=b"pencil", said=b"255")
        self.mesh("user", "add", code=2)
        self.mesh("user", "add", "carol", "--iterations", "4095", code=2)

    def prompt(self, typed, code):
        """Types each of `typed` behind one prompt of `mesh user add alice`; returns what the terminal showed."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        child = self.spawn("user", "add", "alice", stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        shown, sent = b"", 0
        while True:
            ready, _, _ = select.select([ours], [], [], 60)
            self.assertTrue(ready, shown)
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other end is closed
                piece = b""
            shown += piece
            if not piece:
                break
            if sent < len(typed) and shown.count(b": ") > sent:
                os.write(ours, typed[sent])
                sent += 1
        self.assertEqual(child.wait(60), code, shown)
        return shown

    def test_a_prompt_shows_nothing_of_the_password(self):
        shown = self.prompt([b"pencix\x7fl\n", b"wrong\x15pencil\r"], 0)
        self.assertNotIn(b"penci", shown)
        self.assertNotIn(b"wrong", shown)
        self.assertEqual(self.users(), ["alice"])
        self.mesh("user", "remove", "alice")
        self.assertIn(b"differ", self.prompt([b"pencil\n", b"Pencil\n"], 1))
        self.assertIn(b"no password", self.prompt([b"pen\x03"], 1))
        self.assertEqual(self.users(), [])

    def test_no_password_leaves_the_command(self):
        """What the broker has on its disk holds neither the password nor what it is salted to."""
        self.mesh("user", "add", "alice", stdin=b"correct horse battery staple\n")
        self.brokers[0].stop()
        found = subprocess.run(["grep", "-r", "-c", "-a", "correct horse", self.brokers[0].data], capture_output=True, check=False)
        self.assertNotIn(b":1", found.stdout)
        self.assertNotEqual(found.returncode, 0)


if __name__ == "__main__":
    main()

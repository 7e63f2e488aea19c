#!/usr/bin/env python3
"""Users by Kafka's requests: credentials described, added, replaced and deleted; what is wrong with a request changes nothing."""
import hashlib
import struct

import kafka_wire_groups as wire
from harness import Case, main
from test_kafka_login import Login

DESCRIBE, ALTER = 50, 51
SHA_256, SHA_512 = 1, 2
UNSUPPORTED_MECHANISM, NOT_FOUND, DUPLICATE, UNACCEPTABLE = 33, 91, 92, 93
SALT = b"0123456789abcdef"
FAILED = 58


def salted(password, mechanism=SHA_256, iterations=4096, salt=SALT):
    return hashlib.pbkdf2_hmac("sha256" if mechanism == SHA_256 else "sha512", password, salt, iterations)


class Users(wire.Client):
    def describe(self, *names):
        """{name: (error, {mechanism: iterations})}; no names: all"""
        answer = self.call(DESCRIBE, 0, 0, lambda f: f.array([f.string(name) + f.end for name in names] if names else None))
        assert answer.take("h") == 0
        answer.string()

        def user():
            name, error, _ = answer.string(), answer.take("h"), answer.string()
            return name, (error, dict(answer.array(lambda: answer.take("bi"))))
        return dict(answer.array(user))

    def alter(self, deleted=(), added=()):
        """deleted: (name, mechanism); added: (name, mechanism, iterations, salt, salted password). {name: error}"""
        answer = self.call(ALTER, 0, 0, lambda f: f.array([f.string(name) + struct.pack(">b", mechanism) + f.end for name, mechanism in deleted]) + f.array(
            [f.string(name) + struct.pack(">bi", mechanism, iterations) + f.bytes(salt) + f.bytes(key) + f.end for name, mechanism, iterations, salt, key in added]))
        told = []

        def user():
            name, error, text = answer.string(), answer.take("h"), answer.string()
            told.append(name)
            assert (error == 0) == (text is None), (name, error, text)
            return name, error
        result = dict(answer.array(user))
        assert len(result) == len(told), told  # each once
        return result


def added(name, password=b"pencil", mechanism=SHA_256, iterations=4096, salt=SALT):
    return name, mechanism, iterations, salt, salted(password, mechanism, iterations, salt)


class KafkaUsers(Case):
    def setUp(self):
        super().setUp()
        self.start_broker()

    def client(self, of=Users):
        connection = self.connect(seconds=60)
        self.addCleanup(connection.close)
        return of(connection)

    def logs_in(self, name, password, mechanism="SCRAM-SHA-256"):
        error = self.client(Login).scram(mechanism, name, password)[0]
        self.assertIn(error, (0, FAILED))
        return error == 0

    def test_who_is_added_logs_in(self):
        client = self.client()
        self.assertEqual(client.describe(), {})
        self.assertEqual(client.alter(added=[added("alice"), added("bob", b"pen", SHA_512, 8192)]), {"alice": 0, "bob": 0})
        self.assertTrue(self.logs_in("alice", "pencil"))
        self.assertTrue(self.logs_in("bob", "pen", "SCRAM-SHA-512"))
        self.assertEqual(self.client(Login).plain("alice", "pencil")[0], 0)
        self.assertFalse(self.logs_in("alice", "pencil", "SCRAM-SHA-512"))
        self.assertEqual(client.describe(), {"alice": (0, {SHA_256: 4096}), "bob": (0, {SHA_512: 8192})})
        self.assertEqual([user["name"] for user in self.mesh("user", "list", "--json").json["users"]], ["alice", "bob"])

    def test_a_mechanism_changes_and_the_other_one_stays(self):
        client = self.client()
        self.mesh("user", "add", "alice", "--iterations", "5000", stdin=b"pencil\n")
        self.assertEqual(client.describe("alice"), {"alice": (0, {SHA_256: 5000, SHA_512: 5000})})
        self.assertEqual(client.alter(added=[added("alice", b"crayon")]), {"alice": 0})
        self.assertTrue(self.logs_in("alice", "crayon"))
        self.assertFalse(self.logs_in("alice", "pencil"))
        self.assertTrue(self.logs_in("alice", "pencil", "SCRAM-SHA-512"))
        self.assertEqual(client.alter([("alice", SHA_512)], [added("alice", b"chalk")]), {"alice": 0})
        self.assertEqual(client.describe("alice"), {"alice": (0, {SHA_256: 4096})})
        self.assertTrue(self.logs_in("alice", "chalk"))
        self.assertFalse(self.logs_in("alice", "pencil", "SCRAM-SHA-512"))
        self.assertEqual(client.alter([("alice", SHA_256)]), {"alice": 0})
        self.assertEqual(client.describe(), {})
        self.assertFalse(self.logs_in("alice", "chalk"))

    def test_what_is_wrong_with_a_user_changes_nothing_of_it(self):
        client = self.client()
        self.assertEqual(client.alter(added=[added("alice")]), {"alice": 0})
        good = added("bob")
        for wrong, error in (
                ((*good[:1], 0, *good[2:]), UNSUPPORTED_MECHANISM), ((*good[:1], 3, *good[2:]), UNSUPPORTED_MECHANISM), ((*good[:1], -1, *good[2:]), UNSUPPORTED_MECHANISM),
                ((*good[:2], 4095, *good[3:]), UNACCEPTABLE), ((*good[:2], 1000001, *good[3:]), UNACCEPTABLE), ((*good[:2], -1, *good[3:]), UNACCEPTABLE),
                ((*good[:3], b"1234567", good[4]), UNACCEPTABLE), ((*good[:3], b"x" * 65, good[4]), UNACCEPTABLE), ((*good[:4], good[4] + b"x"), UNACCEPTABLE),
                ((*good[:4], b""), UNACCEPTABLE), (("bob", SHA_512, *good[2:]), UNACCEPTABLE)):
            with self.subTest(wrong=wrong):
                self.assertEqual(client.alter(added=[wrong, added("carol")]), {"bob": error, "carol": 0})
                self.assertEqual(client.alter([("carol", SHA_256)]), {"carol": 0})
        for name in ("", "x" * 256, "a\0b", "a\nb", "\x7f", "\x1b[31m"):
            self.assertEqual(client.alter(added=[added(name)]), {name: UNACCEPTABLE})
        self.assertEqual(client.alter([("alice", SHA_512)], [added("alice", b"crayon")]), {"alice": NOT_FOUND})
        self.assertEqual(client.alter([("alice", SHA_256)], [added("alice", b"crayon")]), {"alice": DUPLICATE})
        self.assertEqual(client.alter(added=[added("bob"), added("bob", b"pen")]), {"bob": DUPLICATE})
        self.assertEqual(client.alter([("nobody", SHA_256)]), {"nobody": NOT_FOUND})
        self.assertEqual(client.alter(), {})
        self.assertEqual(client.describe(), {"alice": (0, {SHA_256: 4096})})
        self.assertTrue(self.logs_in("alice", "pencil"))

    def test_who_is_asked_about_is_told_of_once(self):
        client = self.client()
        client.alter(added=[added("alice"), added("bob")])
        self.assertEqual(client.describe("bob", "nobody", "", "x" * 300, "a\0b"),
                         {"bob": (0, {SHA_256: 4096}), "nobody": (NOT_FOUND, {}), "": (NOT_FOUND, {}), "x" * 300: (NOT_FOUND, {}), "a\0b": (NOT_FOUND, {})})
        self.assertEqual(client.describe("bob", "alice", "bob", "bob"), {"bob": (DUPLICATE, {}), "alice": (0, {SHA_256: 4096})})

    def test_names_without_control_characters_alone(self):
        for name in ("a\tb", "\x1b[2J"):
            failed = self.mesh("user", "add", name, stdin=b"pencil\n", code=None)
            self.assertEqual(failed.code, 1)
            self.assertIn(b"control characters", failed.err)
        self.mesh("user", "add", "zo\u00eb", stdin=b"pencil\n")


if __name__ == "__main__":
    main()

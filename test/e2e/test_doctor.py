"""mesh doctor: what it finds before a start, and that it leaves nothing behind."""
import os
import socket
import unittest

from harness import Case, main


class Doctor(Case):
    def findings(self, *words, code=0, env=None):
        told = self.mesh("doctor", "--json", *words, code=code, env=env).json
        self.assertEqual(told["errors"], sum(check["state"] == "error" for check in told["checks"]))
        if code is not None:
            self.assertEqual(told["errors"] > 0, code == 1)
        for check in told["checks"]:
            self.assertTrue(check["what"])
            if check["state"] != "ok" and check["check"] != "key":  # a key's sentence says what to do itself
                self.assertTrue(check["remedy"], check)
        return told["checks"]

    def finding(self, check, text, checks):
        found = [row for row in checks if row["check"] == check and text in row["what"]]
        self.assertEqual(len(found), 1, checks)
        return found[0]["state"]

    def test_a_fit_machine_is_fit_and_nothing_is_made(self):
        checks = self.findings("--data", self.path("new", "data"), "--listen", "127.0.0.1:0")
        self.assertEqual(self.finding("data", "will be made", checks), "ok")
        self.assertEqual(self.finding("port", "is free", checks), "ok")
        self.assertEqual({row["check"] for row in checks} & {"limits", "clock", "disk", "space", "fsync", "address"}, {"limits", "clock", "disk", "space", "fsync", "address"})
        self.assertFalse(os.path.exists(self.path("new")))
        text = self.mesh("doctor", "--data", self.path("new"), "--listen", "127.0.0.1:0").out.decode()
        self.assertRegex(text, r"(?m)^ok      port     127\.0\.0\.1:0 is free$")

    def test_a_running_broker_is_found_where_another_would_start(self):
        broker = self.start_broker(self.path("b0"))
        checks = self.findings("--data", self.path("b0"), "--listen", broker.address, code=1)
        self.assertEqual(self.finding("data", "a broker is running on", checks), "error")
        self.assertEqual(self.finding("port", "cannot listen on", checks), "error")
        checks = self.findings("--data", self.path("b1"), "--listen", "127.0.0.1:0", broker.address)
        self.assertEqual(self.finding("seed", "can be reached", checks), "ok")
        self.assertEqual(self.finding("clock", "in step with", checks), "ok")
        self.assert_serves(broker)

    def test_seeds_that_are_not_there_are_told(self):
        with socket.socket() as taken:  # bound, and nobody listens
            taken.bind(("127.0.0.1", 0))
            checks = self.findings("--data", self.path("d"), "--listen", "127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}", code=None)
            self.assertEqual(self.finding("seed", "Connection refused", checks), "warning")
        checks = self.findings("--data", self.path("d"), "--listen", "127.0.0.1:0", "no.such.host.invalid", "://", code=1)
        self.assertEqual(self.finding("seed", "no.such.host.invalid", checks), "error")
        self.assertEqual(self.finding("seed", "is none", checks), "error")
        self.assertEqual(self.finding("address", "their own machine", checks), "error")
        self.assertFalse(os.path.exists(self.path("d")))

    def test_keys_and_directories_that_cannot_be_used_are_errors(self):
        key = self.path("key")
        self.mesh("key", "generate", "--key-file", key)
        self.assertEqual(self.finding("key", "holds a key", self.findings("--key-file", key, "--data", self.path("d"), "--listen", "127.0.0.1:0")), "ok")
        os.chmod(key, 0o644)
        self.assertEqual(self.finding("key", key, self.findings("--key-file", key, "--data", self.path("d"), "--listen", "127.0.0.1:0", code=1)), "error")
        with open(self.path("file"), "w", encoding="ascii"):
            pass
        checks = self.findings("--data", self.path("file"), "--listen", "127.0.0.1:0", code=1)
        self.assertEqual(self.finding("data", "is no directory", checks), "error")
        self.assertEqual(self.finding("space", "free", self.findings("--set", "disk.free.bytes.min=1000t", "--data", self.path("d"), "--listen", "127.0.0.1:0", code=1)), "error")

    @unittest.skipIf(os.geteuid() == 0, "root may write everywhere")
    def test_a_directory_of_somebody_else_is_an_error(self):
        self.assertEqual(self.finding("data", "Permission denied", self.findings("--data", "/root/mesh", "--listen", "127.0.0.1:0", code=1)), "error")

    def test_settings_that_are_wrong_are_usage(self):
        failed = self.mesh("doctor", "--set", "conections.max=3", code=2)
        self.assertIn("did you mean connections.max?", failed.err.decode())
        self.mesh("doctor", "--config", self.path("none"), code=1)


if __name__ == "__main__":
    main()

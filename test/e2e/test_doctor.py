"""mesh doctor: what it finds before a start, and that it leaves nothing behind."""
import os
import socket
import threading
import unittest

from harness import Case, main


def answer_as_web_server(server):
    connection, _ = server.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


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
            self.assertEqual(self.finding("seed", "nobody listens at", checks), "warning")
        checks = self.findings("--data", self.path("d"), "--listen", "127.0.0.1:0", "no.such.host.invalid", "://", code=1)
        self.assertEqual(self.finding("seed", "no.such.host.invalid", checks), "error")
        self.assertEqual(self.finding("seed", "is none", checks), "error")
        self.assertEqual(self.finding("address", "their own machine", checks), "error")
        self.assertFalse(os.path.exists(self.path("d")))

    def test_a_seed_is_a_broker_of_this_key_or_is_none(self):
        """Whatever else listens there is told for what it is; the broker that was looked at has let nobody join."""
        broker = self.start_broker(self.path("b0"))
        words = ["--data", self.path("d"), "--listen", "127.0.0.1:0"]
        self.assertEqual(self.finding("seed", "is a broker of its mesh", self.findings(*words, broker.address)), "ok")
        self.mesh("key", "generate", "--key-file", self.path("other"))
        checks = self.findings(*words, "--key-file", self.path("other"), broker.address, code=1)
        self.assertEqual(self.finding("seed", f"{broker.address} has another cluster key", checks), "error")
        checks = self.findings(*words, broker.address, code=1, env={"XDG_CONFIG_HOME": self.path("none"), "HOME": self.path("none")})
        self.assertEqual(self.finding("key", "joining needs that of the mesh", checks), "error")
        self.assertEqual(self.finding("seed", "only its key would tell", checks), "ok")
        with socket.create_server(("127.0.0.1", 0)) as other:
            answerer = threading.Thread(target=answer_as_web_server, args=(other,))
            answerer.start()
            checks = self.findings(*words, f"127.0.0.1:{other.getsockname()[1]}", code=1)
            answerer.join()
        self.assertEqual(self.finding("seed", "is not a mesh: an HTTP server answers there", checks), "error")
        self.assertEqual(len(self.mesh("members", "--json").json["members"]), 1)

    def test_an_address_that_nobody_can_dial_is_an_error_or_not_told(self):
        words = ["--data", self.path("d"), "--listen"]
        for advertise in ("0.0.0.0", "[::]:9092", "127.0.0.1:0", "no.such.host.invalid"):
            with self.subTest(advertise):
                self.assertEqual(self.finding("address", advertise, self.findings(*words, "127.0.0.1:0", "--advertise", advertise, code=1)), "error")
        found = [check for check in self.findings(*words, "0.0.0.0:0", code=None) if check["check"] == "address"]
        self.assertEqual(len(found), 1)
        self.assertRegex(found[0]["what"], "the name of this machine")

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

    def test_a_directory_of_others_is_told_here_and_by_a_start(self):
        os.mkdir(self.path("home"))
        for name in (".profile", "lost+found", "key"):
            os.mkdir(self.path("home", name))
        words = ["--data", self.path("home"), "--listen", "127.0.0.1:0"]
        self.mesh("key", "generate", "--key-file", self.path("k"))
        self.assertEqual(self.finding("data", "is there, and writable", self.findings(*words, "--key-file", self.path("k"))), "ok")
        with open(self.path("home", "letter.txt"), "w", encoding="ascii"):
            pass
        self.assertEqual(self.finding("data", "it holds letter.txt", self.findings(*words, "--key-file", self.path("k"))), "warning")
        broker = self.start_broker(self.path("home"), options=["--key-file", self.path("k")])
        self.assertEqual(sum('first="letter.txt"' in line for line in broker.lines), 1, broker.log())
        self.assertEqual(broker.stop(), 0)
        broker.start()  # it is a broker's now
        self.assertEqual(sum("not empty" in line for line in broker.lines), 0, broker.log())

    @unittest.skipIf(os.geteuid() == 0, "root may write everywhere")
    def test_a_directory_of_somebody_else_is_an_error(self):
        self.assertEqual(self.finding("data", "Permission denied", self.findings("--data", "/root/mesh", "--listen", "127.0.0.1:0", code=1)), "error")

    def test_settings_that_are_wrong_are_usage(self):
        failed = self.mesh("doctor", "--set", "conections.max=3", code=2)
        self.assertIn("did you mean connections.max?", failed.err.decode())
        self.mesh("doctor", "--config", self.path("none"), code=1)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The image without an engine: its instructions are read and followed in a chroot, with a root that cannot be written, by a user who is nobody.

Environment: MESH_BINARY, MESH_SOURCE. Needs root and util-linux."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

BINARY, SOURCE = os.environ["MESH_BINARY"], os.environ["MESH_SOURCE"]
SIZE_MAX = 15_000_000
PATIENCE_S = 60
INSIDE = "MESH_TEST_IN_IMAGE"


def instructions():
    """(word, rest) of each instruction, lines that go on joined."""
    with open(f"{SOURCE}/deploy/docker/Dockerfile", encoding="utf-8") as file:
        text = re.sub(r"\\\n", " ", file.read())
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip() and not line.startswith("#")]


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = os.environ[INSIDE] + "/root"
        subprocess.run([f"{SOURCE}/deploy/docker/root-folder", BINARY, cls.root], check=True, timeout=PATIENCE_S)
        stages = instructions()
        last = max(i for i, (word, _) in enumerate(stages) if word == "FROM")
        cls.build, cls.final = stages[:last], stages[last:]

    def last(self, word):
        return [rest for each, rest in self.final if each == word][-1]

    def test_the_instructions_hold_together(self):
        self.assertEqual(self.final[0], ("FROM", "scratch"))
        base = self.build[0][1].split(" AS ")
        self.assertRegex(base[0], r"^debian:bookworm", "the release whose packages deploy/packaging names")
        self.assertIn(("COPY", f"--from={base[1]} /image /"), self.final)
        self.assertNotIn("RUN", [word for word, _ in self.final], "there is no shell in it")
        for word, rest in self.build:
            if word == "RUN":
                for script in re.findall(r"deploy/\S+", rest):
                    self.assertTrue(os.path.exists(f"{SOURCE}/{script}"), script)
                self.assertEqual(subprocess.run(["sh", "-n", "-c", rest], check=False).returncode, 0, rest)
        self.assertTrue(self.build[-1][1].endswith("root-folder build/release/cmd/cli/mesh /image"))
        user = self.last("USER").split(":")[0]
        with open(f"{self.root}/etc/passwd", encoding="utf-8") as file:
            self.assertEqual([user], [line.split(":")[2] for line in file])
        with open(f"{SOURCE}/.dockerignore", encoding="utf-8") as file:
            self.assertTrue({".git", "build"} <= set(file.read().split()), "what is not to be sent to an engine")

    def test_it_is_small_and_has_nothing_that_is_not_needed(self):
        files = [os.path.join(folder, name) for folder, _, names in os.walk(self.root) for name in names]
        size = sum(os.path.getsize(file) for file in files)
        print(f"image: {size} bytes in {len(files)} files")
        self.assertLess(size, SIZE_MAX)
        self.assertEqual([file for file in files if os.path.basename(file) in ("sh", "bash", "dash", "apt", "dpkg")], [])
        self.assertEqual([file for file in files if os.stat(file).st_mode & 0o6000], [], "nothing in it gives rights")

    def start(self, script):
        """Runs a script that enters the image for each command: it has no shell itself. The root is read-only, but for the volume."""
        environment = dict(pair.split("=", 1) for pair in self.last("ENV").split())
        environment["MESH_BROKER"] = "127.0.0.1:9092"
        user, group = self.last("USER").split(":")
        setup = (f"set -e\nmount -t proc proc /proc\nip link set lo up\nmount --bind {self.root} {self.root}\nmount -t tmpfs -o uid={user},gid={group},mode=700 tmpfs {self.root}/var/lib/mesh\n"
                 f"mount -o remount,bind,ro {self.root}\n"
                 # Words rather than a function: what runs beside is then the broker itself, by the id that the shell knows.
                 f"mesh='env -i PATH=/usr/sbin:/usr/bin {' '.join(f'{k}={v}' for k, v in environment.items())} chroot --userspec={user}:{group} {self.root} "
                 f"{' '.join(json.loads(self.last('ENTRYPOINT')))}'\n")
        return subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private", "sh", "-c", setup + script], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False)

    def test_a_broker_in_it_keeps_records(self):
        command = " ".join(json.loads(self.last("CMD")))
        done = self.start(f"""
            $mesh {command} 2>{self.root}/var/lib/mesh/log & broker=$!
            while [ ! -s {self.root}/var/lib/mesh/ready.json ]; do kill -0 $broker || {{ cat {self.root}/var/lib/mesh/log >&2; exit 9; }}; done
            touch {self.root}/etc/written 2>/dev/null && exit 8
            echo hello | $mesh produce t
            $mesh consume t --until-end
            $mesh status >/dev/null
            grep '^Uid:' /proc/$broker/status | grep -q '10001.*10001' || exit 7
            grep -q '^CapEff:.*0000000000000000' /proc/$broker/status || exit 6
            kill $broker; wait $broker
        """)
        self.assertEqual((done.returncode, done.stdout), (0, "hello\n"), done.stderr)

    def test_names_are_looked_up_in_it(self):
        """The C library's own part, which links of a static program would lack."""
        with open(f"{self.root}/etc/hosts", "w", encoding="utf-8") as file:
            file.write("127.0.0.1 a-broker\n")
        self.addCleanup(os.unlink, f"{self.root}/etc/hosts")
        done = self.start("$mesh status --broker a-broker:1 --timeout 5s || echo $?")
        self.assertEqual(done.stdout.split()[-1], "3", done.stdout + done.stderr)
        self.assertNotIn("resolve", done.stderr)
        done = self.start("$mesh status --broker another-broker:1 --timeout 5s || echo $?")
        self.assertIn("another-broker", done.stderr)
        self.assertNotEqual(done.stdout, "")


if __name__ == "__main__":
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        print("needs root and util-linux: the image's root is entered by chroot")
        sys.exit(1 if os.environ.get("MESH_TEST_TOOLS") == "all" else 77)
    with tempfile.TemporaryDirectory(prefix="mesh-image-") as folder:
        os.environ[INSIDE] = folder
        program = unittest.main(verbosity=2, exit=False)
    sys.exit(0 if program.result.wasSuccessful() else 1)

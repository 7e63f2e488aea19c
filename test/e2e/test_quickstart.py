#!/usr/bin/env python3
"""deploy/quickstart with little text: what a newcomer runs first works, says what happened, and leaves nothing behind."""
import os
import subprocess

from harness import MESH, main
from mesh_case import MeshCase

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy", "quickstart")
MEGABYTES = 2


class Quickstart(MeshCase):
    def run_script(self, *words):
        return subprocess.run(["bash", SCRIPT, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=400, check=False)

    def test_the_leader_is_killed_and_all_bytes_come_back(self):
        work = self.path("quickstart")
        done = self.run_script("--binary", MESH, "--megabytes", str(MEGABYTES), "--work", work)
        told = done.stdout.decode() + done.stderr.decode()
        self.assertEqual(done.returncode, 0, told)
        self.assertEqual(done.stderr, b"")
        for part in ("killed b", " s later, in epoch ", "synced to disk on", "all three copies are in sync again", "in their order, none missing and none twice",
                     "Where to go next:"):
            self.assertIn(part, told)
        self.assertGreaterEqual(os.path.getsize(os.path.join(work, "output.txt")), MEGABYTES << 20)
        self.assertEqual([name for name in os.listdir(work) if os.path.isdir(os.path.join(work, name))], ["config"])

    def test_what_goes_wrong_is_named(self):
        work = self.path("broken")
        done = self.run_script("--binary", "/bin/false", "--megabytes", "1", "--work", work)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"error: broker b1 has ended", done.stderr)
        for words in (("--megabytes", "many"), ("--binary",), ("--surprise",)):
            done = self.run_script(*words)
            self.assertEqual(done.returncode, 2)
            self.assertIn(b"usage: deploy/quickstart", done.stderr)


if __name__ == "__main__":
    main()

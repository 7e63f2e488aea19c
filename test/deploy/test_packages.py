#!/usr/bin/env python3
"""The Debian packages: made, installed without a question, used, upgraded over, removed, purged. All in a copy of this machine that is thrown away: an
overlay over its root in namespaces of our own, so that dpkg checks what the packages depend on and nothing of it stays.

Environment: MESH_BUILD (the build folder), MESH_SOURCE. Needs root."""
import glob
import os
import re
import shutil
import subprocess
import sys
import unittest

import service

INSIDE = "MESH_TEST_IN_COPY"
BUILD, SOURCE = os.environ["MESH_BUILD"], os.environ["MESH_SOURCE"]
PROGRAM = """#include <mesh/mesh.h>
#include <stdio.h>
int main(void) { return printf("%s\\n", mesh_version()) < 0; }
"""


class Packages(unittest.TestCase):
    def run_in(self, *words, code=0, stdin="", seconds=120):
        """In the copy; nobody is there to answer."""
        done = subprocess.run(["chroot", self.root, *words], input=stdin, capture_output=True, text=True, timeout=seconds, check=False,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root"})
        self.assertEqual(done.returncode, code, f"{words}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout

    @classmethod
    def setUpClass(cls):
        cls.area = os.environ[INSIDE]
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", cls.area], check=True)
        for name in ("upper", "work", "root"):
            os.mkdir(f"{cls.area}/{name}")
        cls.root = f"{cls.area}/root"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={cls.area}/upper,workdir={cls.area}/work", cls.root], check=True)
        for name in ("proc", "dev"):
            subprocess.run(["mount", "--rbind", f"/{name}", f"{cls.root}/{name}"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", f"{cls.root}/run"], check=True)  # no service manager runs there
        made = subprocess.run(["cpack", "-G", "DEB", "--config", f"{BUILD}/CPackConfig.cmake", "-B", f"{cls.root}/packages"],
                              capture_output=True, text=True, timeout=300, check=False)
        if made.returncode != 0:
            raise AssertionError(made.stdout + made.stderr)
        cls.files = {os.path.basename(path).split("_")[0]: path[len(cls.root):] for path in glob.glob(f"{cls.root}/packages/*.deb")}

    def exists(self, path):
        return os.path.lexists(self.root + path)

    def test_packages(self):
        self.assertEqual(sorted(self.files), ["libmesh", "libmesh-dev", "mesh"])
        self.run_in("dpkg", "--install", self.files["libmesh"], self.files["libmesh-dev"], self.files["mesh"])
        self.assertEqual(self.run_in("dpkg", "--verify", "mesh", "libmesh", "libmesh-dev"), "")
        self.check_user()
        self.check_service()
        self.check_library()
        self.check_broker()
        self.check_upgrade()
        self.check_removal()

    def check_user(self):
        user = self.run_in("getent", "passwd", "mesh").split(":")
        self.assertEqual(user[5:], ["/var/lib/mesh", "/usr/sbin/nologin\n"])
        self.assertLess(int(user[2]), 1000, "a system's user")
        state = os.stat(f"{self.root}/var/lib/mesh")
        self.assertEqual((state.st_uid, state.st_mode & 0o777), (int(user[2]), 0o700))

    def check_service(self):
        unit = f"{self.root}/lib/systemd/system/mesh.service"
        self.assertEqual(service.verify(unit), [])
        self.assertLess(service.exposure(unit), 1.5)
        with open(unit, encoding="utf-8") as file:
            text = file.read()
        self.assertIn("Type=notify", text)
        self.assertFalse(glob.glob(f"{self.root}/etc/systemd/system/*/mesh.service"), "it is not started before anybody said which mesh it belongs to")
        for path in ("/etc/mesh/mesh.conf", "/etc/default/mesh", "/usr/share/man/man1/mesh.1", "/usr/share/bash-completion/completions/mesh"):
            self.assertTrue(self.exists(path), path)
        with open(f"{self.root}/etc/default/mesh", encoding="utf-8") as file:
            self.assertEqual(re.search(r"^COMMAND=(.*)$", file.read(), re.M).group(1), "serve")

    def check_library(self):
        """A program is built with what the packages brought, and runs with the library alone."""
        flags = self.run_in("pkg-config", "--cflags", "--libs", "libmesh").split()
        with open(f"{self.root}/packages/program.c", "w", encoding="utf-8") as file:
            file.write(PROGRAM)
        self.run_in("gcc", "-o", "/packages/program", "/packages/program.c", *flags)
        self.assertRegex(self.run_in("/packages/program"), r"^\d+\.\d+\.\d+\n$")

    def check_broker(self):
        """As the service runs it, by the user that the package made, with the configuration that it brought."""
        with open(f"{self.root}/packages/serve", "w", encoding="utf-8") as file:
            file.write("set -e\nexport XDG_CONFIG_HOME=/var/lib\n"
                       "/usr/bin/mesh serve --config /etc/mesh/mesh.conf --data /var/lib/mesh --quiet --listen 127.0.0.1:0 2>/var/lib/mesh/log & broker=$!\n"
                       "while [ ! -s /var/lib/mesh/ready.json ]; do kill -0 $broker || { cat /var/lib/mesh/log >&2; exit 9; }; done\n"
                       "export MESH_BROKER=$(sed 's/.*\"address\":\"\\([^\"]*\\)\".*/\\1/' /var/lib/mesh/ready.json)\n"
                       "echo hello | mesh produce t\nmesh consume t --until-end\nkill $broker; wait $broker\n")
        self.assertEqual(self.run_in("setpriv", "--reuid=mesh", "--regid=mesh", "--init-groups", "sh", "/packages/serve"), "hello\n")
        self.assertEqual(os.stat(f"{self.root}/var/lib/mesh/key").st_mode & 0o777, 0o600)

    def check_upgrade(self):
        """What an operator wrote stays, and nobody is asked about it."""
        with open(f"{self.root}/etc/mesh/mesh.conf", "a", encoding="utf-8") as file:
            file.write("zone = b\n")
        self.run_in("dpkg", "--install", self.files["mesh"])
        with open(f"{self.root}/etc/mesh/mesh.conf", encoding="utf-8") as file:
            self.assertIn("zone = b", file.read())

    def check_removal(self):
        self.run_in("dpkg", "--remove", "mesh", "libmesh-dev", "libmesh")
        for path in ("/usr/bin/mesh", "/usr/lib/libmesh.so.0", "/usr/include/mesh", "/lib/systemd/system/mesh.service"):
            self.assertFalse(self.exists(path), path)
        self.assertTrue(self.exists("/etc/mesh/mesh.conf"))
        self.assertIn("/var/lib/mesh was kept", self.run_in("dpkg", "--purge", "mesh"))
        self.assertFalse(self.exists("/etc/mesh/mesh.conf"))
        self.assertTrue(self.exists("/var/lib/mesh/key"), "records and the key outlive the program")
        shutil.rmtree(f"{self.root}/var/lib/mesh")
        self.run_in("dpkg", "--install", self.files["mesh"])
        self.run_in("dpkg", "--purge", "mesh")
        self.assertFalse(self.exists("/var/lib/mesh"), "nothing was in it")


def enter():
    """Again, in a mount namespace of our own: what is mounted there ends with us."""
    import tempfile
    folder = tempfile.mkdtemp(prefix="mesh-packages-")
    done = subprocess.run(["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv], env=dict(os.environ, **{INSIDE: folder}), check=False)
    os.rmdir(folder)
    return done.returncode


if __name__ == "__main__":
    if INSIDE in os.environ:
        unittest.main(verbosity=2)
    if os.geteuid() != 0:
        print("needs root: dpkg installs into a copy of this machine")
        sys.exit(1 if os.environ.get("MESH_TEST_TOOLS") == "all" else 77)
    sys.exit(enter())

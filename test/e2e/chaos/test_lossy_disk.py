#!/usr/bin/env python3
"""The disk that forgets: it loses what was not synced and nothing else; and a broker loses nothing on it."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from harness import Case, main  # noqa: E402 pylint: disable=wrong-import-position
from world import Servant, Trouble  # noqa: E402 pylint: disable=wrong-import-position

PROGRAM = os.path.abspath(os.environ.get("CHAOS_DISK", "chaos_disk"))


def sync(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


class LossyDisk(Case):
    def setUp(self):
        super().setUp()
        for name in "root", "stash", "seen":
            os.mkdir(self.path(name))
        if not os.access(PROGRAM, os.X_OK) or not os.access("/dev/fuse", os.R_OK | os.W_OK):
            self.skipTest("no FUSE here")
        try:
            self.disk = Servant([PROGRAM, self.path("root"), self.path("stash"), self.path("seen")])
        except Trouble as trouble:
            self.skipTest(str(trouble))
        self.addCleanup(self.disk.close)
        self.addCleanup(self.end_brokers)  # before the disk goes

    def end_brokers(self):
        for broker in self.brokers:
            broker.kill()

    def seen(self, name=""):
        return self.path("seen", name)

    def write(self, name, content, synced=False):
        with open(self.seen(name), "wb") as file:
            file.write(content)
        if synced:
            sync(self.seen(name))
            sync(self.seen())

    def read(self, name):
        with open(self.seen(name), "rb") as file:
            return file.read()

    def test_data_are_there_until_the_power_is_cut(self):
        self.write("a", b"x" * 10000, synced=True)
        fd = os.open(self.seen("a"), os.O_RDWR)
        os.pwrite(fd, b"z" * 5000, 3000)
        os.ftruncate(fd, 20000)
        os.close(fd)
        self.assertEqual(self.read("a"), b"x" * 3000 + b"z" * 5000 + b"x" * 2000 + bytes(10000))
        self.disk.tell("cut")
        self.assertEqual(self.read("a"), b"x" * 10000)

    def test_what_was_cut_off_and_grew_again_is_zero(self):
        self.write("a", b"x" * 10000, synced=True)
        fd = os.open(self.seen("a"), os.O_RDWR)
        os.ftruncate(fd, 100)
        os.ftruncate(fd, 8000)
        self.assertEqual(os.pread(fd, 9000, 0), b"x" * 100 + bytes(7900))
        os.fdatasync(fd)
        os.close(fd)
        self.disk.tell("cut")
        self.assertEqual(self.read("a"), b"x" * 100 + bytes(7900))

    def test_names_need_their_directory(self):
        self.write("a", b"a", synced=True)
        self.write("b", b"b")
        sync(self.seen("b"))
        os.rename(self.seen("a"), self.seen("c"))
        os.mkdir(self.seen("d"))
        self.disk.tell("cut")
        self.assertEqual(os.listdir(self.seen()), ["a"])
        self.write("b", b"new", synced=True)
        os.rename(self.seen("b"), self.seen("a"))
        self.disk.tell("cut")
        self.assertEqual((self.read("a"), self.read("b")), (b"a", b"new"))
        os.rename(self.seen("b"), self.seen("a"))
        sync(self.seen())
        os.unlink(self.seen("a"))
        self.disk.tell("cut")
        self.assertEqual((os.listdir(self.seen()), self.read("a")), (["a"], b"new"))

    def test_an_open_file_without_a_name_is_still_a_file(self):
        self.write("a", b"x" * 100, synced=True)
        os.mkdir(self.seen("d"))
        folder = os.open(self.seen("d"), os.O_RDONLY | os.O_DIRECTORY)
        fd = os.open(self.seen("a"), os.O_RDWR)
        os.rmdir(self.seen("d"))
        os.unlink(self.seen("a"))
        sync(self.seen())  # the name is gone for good
        os.pwrite(fd, b"y" * 10, 200)
        os.fsync(folder)
        self.assertEqual(os.lseek(fd, 0, os.SEEK_END), 210)
        os.ftruncate(fd, 205)
        os.fsync(fd)
        self.assertEqual(os.pread(fd, 300, 0), b"x" * 100 + bytes(100) + b"y" * 5)
        os.close(fd)
        os.close(folder)
        self.disk.tell("cut")
        self.assertEqual(os.listdir(self.seen()), [])

    def test_some_sectors_survive(self):
        self.write("a", b"x" * 65536, synced=True)
        with open(self.seen("a"), "r+b") as file:
            file.write(b"y" * 65536)
        self.disk.tell("cut 1")
        content = self.read("a")
        sectors = {content[at:at + 512] for at in range(0, 65536, 512)}
        self.assertEqual(sectors, {b"x" * 512, b"y" * 512})

    def test_a_sync_that_fails_loses_what_it_was_to_write(self):
        self.write("a", b"x" * 100, synced=True)
        self.disk.tell("fail 1")
        fd = os.open(self.seen("a"), os.O_RDWR)
        os.pwrite(fd, b"y" * 100, 0)
        self.assertRaises(OSError, os.fsync, fd)
        os.fsync(fd)
        os.close(fd)
        self.disk.tell("cut")
        self.assertEqual(self.read("a"), b"x" * 100)

    def test_what_a_broker_recovered_and_synced_when_it_stopped_survives(self):
        """A server of FUSE is not told of syncfs(): what relied on that was lost."""
        broker = self.start_broker(self.seen("data"), options=["--shards", "1", "--set", "journal.bytes.max=67108864"])
        lines = b"".join(b"%d %s\n" % (n, b"x" * 200) for n in range(4000))
        self.mesh("topic", "create", "t", "--set", "segment.bytes=1048576")
        for at in range(0, len(lines), 100_000):
            self.mesh("produce", "t", "--keep-newlines", stdin=lines[at:at + 100_000])
        for _ in range(3):
            broker.kill()
            self.disk.tell("cut")
            broker.start()
            self.assertEqual(self.mesh("consume", "t", "--until-end", "--format", "raw").out, lines)
            self.assertEqual(broker.stop(), 0)
            self.disk.tell("cut")
            broker.start()
            self.assertEqual(self.mesh("consume", "t", "--until-end", "--format", "raw").out, lines)


if __name__ == "__main__":
    main()

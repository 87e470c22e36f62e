"""The durable spool on a disk that is really full: by others, or by itself."""

import contextlib
import ctypes
import os
import pathlib
import signal
import unittest

from harness import wait_until
from service import mail
from test_durable import DISK_ERRORS, Case, accepted, submit


class FullDisk(Case):
    """A file system of 6 MiB that is really full."""

    def mounted(self, place):
        libc = ctypes.CDLL(None, use_errno=True)
        target = place.spool_dir.encode()
        if libc.mount(b"none", target, b"tmpfs", 0,
                      b"size=6m,mode=0700") != 0:
            self.skipTest("mounting needs root: "
                          f"{os.strerror(ctypes.get_errno())}")
        place.stack.callback(libc.umount2, target, 2)

    def start_on_full(self, how):
        place = self.place()
        self.mounted(place)
        daemon = place.start(is_up=False)
        ids = accepted(daemon, 50, text=("z" * 70 + "\n") * 100)
        daemon.stop(how)
        ballast = pathlib.Path(place.spool_dir, "ballast")
        with contextlib.suppress(OSError), ballast.open("wb", 0) as file:
            for size in (4096, 1):
                while file.write(b"x" * size):
                    pass
        large = [mail(text=("z" * 70 + "\n") * 150) for _ in range(300)]
        for _ in range(3):
            daemon = place.start(is_up=False)
            self.assertEqual(daemon.status(ids[-1])["state"], "queued")
            answers = submit(daemon, *large)
            self.assertFalse(answers[-1]["ok"])
            self.assertIn(answers[-1]["error"], DISK_ERRORS)
            self.assertTrue(answers[-1]["retry"])
            # After a kill there may be room in the log.
            ids += [a["id"] for a in answers if a["ok"]]
            daemon.stop(how)
        daemon = place.start()
        ballast.unlink()
        self.assert_delivered(place, daemon, ids)
        self.assertEqual(daemon.stop(), 0)
        self.assert_verified(place)

    def test_a_start_on_a_full_disk(self):
        self.start_on_full(signal.SIGTERM)

    def test_a_start_on_a_full_disk_after_a_kill(self):
        self.start_on_full(signal.SIGKILL)

    def fill_by_itself(self, how, size):
        """A spool that is alone on its disk fills it, and is emptied."""
        place = self.place()
        self.mounted(place)
        daemon = place.start(is_up=False)
        ids = []
        refused = []
        with daemon.unix() as client:
            while len(refused) < 20:
                answer = client.ask(mail(text="z" * 70 * size))
                if answer["ok"]:
                    ids.append(answer["id"])
                else:
                    refused.append(answer)
        for answer in refused:
            self.assertEqual(answer["error"], "spool_full", answer)
            self.assertIn("disk", answer["message"])
        daemon.stop(how)
        daemon = place.start(is_up=False)
        with daemon.unix() as client:
            for job in ids[:3]:
                answer = client.ask({"op": "cancel", "id": job})
                self.assertTrue(answer["ok"], answer)
        daemon.stop(how)
        daemon = place.start()
        self.assert_delivered(place, daemon, ids[3:])
        self.assertEqual(daemon.log().count("spool.disk_fails"), 0)
        # What is remembered of them gives way.
        wait_until(lambda: submit(daemon, mail(subject="probe"))[0]["ok"],
                   "there is room")
        ids = accepted(daemon, 5)
        self.assert_delivered(place, daemon, ids)
        self.assertEqual(daemon.stop(), 0)
        self.assert_verified(place)

    def test_filled_by_itself_and_killed(self):
        self.fill_by_itself(signal.SIGKILL, 50)

    def test_filled_by_itself_and_stopped(self):
        self.fill_by_itself(signal.SIGTERM, 50)

    def test_filled_with_small_mails(self):
        self.fill_by_itself(signal.SIGKILL, 1)

    def test_full_and_with_room_again(self):
        place = self.place()
        self.mounted(place)
        ballast = pathlib.Path(place.spool_dir, "ballast")
        ballast.write_bytes(b"x" * (4 << 20))
        daemon = place.start(is_up=False)
        ids = []
        refused = 0
        with daemon.unix() as client:
            for n in range(400):
                answer = client.ask(mail(subject=f"job {n}",
                                         text=("z" * 70 + "\n") * 150))
                if answer["ok"]:
                    ids.append(answer["id"])
                    continue
                self.assertIn(answer["error"], DISK_ERRORS)
                self.assertTrue(answer["retry"], answer)
                refused += 1
                if refused > 20:
                    break
        self.assertGreater(refused, 20)
        self.assertGreater(len(ids), 10)
        self.assertEqual(daemon.stats()["ledger"]["accepted"], len(ids))
        ballast.unlink()
        wait_until(lambda: submit(daemon, mail(subject="probe"))[0]["ok"],
                   "the daemon recovers")
        ids += accepted(daemon, 5)
        daemon.stop(signal.SIGKILL)
        daemon = place.start()
        self.assert_delivered(place, daemon, ids)
        self.assertEqual(daemon.stop(), 0)
        self.assert_verified(place)


if __name__ == "__main__":
    unittest.main()

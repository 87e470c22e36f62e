"""The operations for administrators, from the tool through the real daemon to
the real sink: list, retry, drop, and what a trail tells of it.
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_daemon import postrider  # noqa: E402
from harness import wait_until  # noqa: E402
from service import Service, mail  # noqa: E402

REFUSED_ONCE = "rcpt:match=bad@*,count=1,reply=550 5.1.1 No such user"
LATER = "rcpt:match=later@*,reply=450 4.2.1 Mailbox busy"
LOST_ONCE = "final:count=1,drop"


class Operations(unittest.TestCase):
    """One service for each test, asked over its Unix socket."""

    def open(self, *faults):
        options = []
        for fault in faults:
            options += ["--fault", fault]
        service = Service(sink=options, retry='first = "1h";')
        self.addCleanup(service.stop)
        self.service = service
        return service

    def ask(self, op, job=None, **fields):
        request = {"op": op, **fields}
        if job is not None:
            request["id"] = job
        with self.service.unix() as client:
            return client.ask(request)

    def submit(self, **fields):
        with self.service.tcp() as client:
            answer = client.ask(mail(**fields))
        self.assertTrue(answer["ok"], answer)
        return answer["id"]

    def wait_state(self, job, state):
        return wait_until(
            lambda: (self.service.status(job)
                     if self.service.status(job)["state"] == state else None),
            f"{job} to be {state}")

    def tool(self, *args, code=0):
        done = postrider("-s", "unix:" + self.service.daemon.address("unix"),
                         *args)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout

    def check_ledger(self, **expected):
        ledger = self.service.stats()["ledger"]
        self.assertEqual(ledger["accepted"],
                         sum(v for k, v in ledger.items() if k != "accepted"))
        self.assertEqual({k: ledger[k] for k in expected}, expected)


class Lists(Operations):
    def listed(self, **fields):
        answer = self.ask("list", **fields)
        self.assertTrue(answer["ok"], answer)
        return [job["id"] for job in answer["jobs"]]

    def test_filters_choose_and_pages_go_on(self):
        self.open(LATER, "rcpt:match=bad@*,reply=550 5.1.1 No such user")
        good = [self.submit(tag="good") for _ in range(5)]
        bad = [self.submit(to="bad@example.net", tag="bad") for _ in range(3)]
        later = [self.submit(to="later@example.net") for _ in range(2)]
        future = self.submit(send_at="2099-01-01T00:00:00Z")
        for job in good + bad:
            self.service.settled(job)
        for job in later:
            self.wait_state(job, "deferred")
        self.assertEqual(self.listed(), [*good, *bad, *later, future])
        self.assertEqual(self.listed(state="failed"), bad)
        self.assertEqual(self.listed(state=["deferred", "queued"]),
                         [*later, future])
        self.assertEqual(self.listed(tag="good"), good)
        self.assertEqual(self.listed(tag="good", state="failed"), [])
        self.assertEqual(self.listed(relay="main"), [*good, *bad, *later])
        self.assertEqual(self.listed(relay="other"), [])
        self.assertEqual(self.listed(older="1h"), [])
        found, after = [], {}
        while True:
            answer = self.ask("list", limit=4, **after)
            self.assertLessEqual(len(answer["jobs"]), 4)
            found += [job["id"] for job in answer["jobs"]]
            after = {"after": answer["after"]}
            if not answer["more"]:
                break
        self.assertEqual(found, [*good, *bad, *later, future])
        self.assertEqual(self.tool("list", "--ids", "--state", "failed"),
                         "".join(job + "\n" for job in bad))
        table = self.tool("list", "--limit", "0")
        self.assertEqual(len(table.splitlines()), 12)
        self.assertRegex(table, rf"{later[0]}  deferred .* in \d+ min +"
                                r"later@example.net +450 4\.2\.1")

    def test_a_list_of_long_jobs_is_cut_and_goes_on(self):
        self.open()
        people = [f"{'x' * 50}{n}@example.net" for n in range(400)]
        jobs = [self.submit(to=people, send_at="2099-01-01T00:00:00Z")
                for _ in range(20)]
        with self.service.unix() as client:
            client.send({"op": "list"})
            line = client.file.readline()
        self.assertLess(len(line), 400 << 10)
        found = self.tool("list", "--ids", "--limit", "0").split()
        self.assertEqual(found, jobs)


class Retries(Operations):
    def test_a_failed_job_reaches_only_who_does_not_have_it(self):
        service = self.open(REFUSED_ONCE)
        job = self.submit(to=["a@example.net", "bad@example.net"])
        self.assertEqual(service.settled(job)["state"], "failed")
        self.check_ledger(failed=1, delivered=0)
        answer = self.ask("retry", job)
        self.assertTrue(answer["ok"] and answer["changed"], answer)
        status = self.wait_state(job, "delivered")
        self.assertEqual({r["address"]: r["attempts"]
                          for r in status["recipients"]},
                         {"a@example.net": 1, "bad@example.net": 2})
        summary = service.sink.summary()
        self.assertEqual(summary["messages"], 2)
        self.assertEqual(summary["duplicates"], 0)
        self.assertEqual([m["to"] for m in service.sink.messages()],
                         [["a@example.net"], ["bad@example.net"]])
        self.assertEqual([e["event"] for e in status["trail"]],
                         ["accepted", "attempt", "retried", "attempt"])
        self.assertFalse(status["body"])
        self.check_ledger(failed=0, delivered=1, accepted=1)
        self.assertEqual(self.ask("retry", job)["error"], "bad_value")

    def test_the_tool_retries_all_that_failed(self):
        service = self.open(
            "rcpt:match=bad@*,count=30,reply=550 5.1.1 No such user")
        good = self.submit()
        bad = [self.submit(to="bad@example.net") for _ in range(30)]
        for job in bad:
            self.assertEqual(service.settled(job)["state"], "failed")
        self.assertEqual(self.tool("retry", "--all-failed"),
                         "30 jobs will be tried again\n")
        for job in bad:
            self.assertEqual(service.settled(job)["state"], "delivered")
        self.assertEqual(service.settled(good)["attempts"], 1)
        self.assertEqual(service.sink.summary()["messages"], 31)
        self.assertEqual(self.tool("retry", "--all-failed"),
                         "0 jobs will be tried again\n")
        self.check_ledger(delivered=31, failed=0)

    def test_a_deferred_job_does_not_wait_for_its_time(self):
        service = self.open("rcpt:count=1,reply=450 4.2.1 Mailbox busy")
        job = self.submit()
        self.wait_state(job, "deferred")
        self.assertEqual(self.tool("retry", job),
                         "1 job will be tried again\n")
        self.assertEqual(service.settled(job)["state"], "delivered")

    def test_a_held_job_says_why_and_what_to_do(self):
        service = self.open(LOST_ONCE)
        job = self.submit(on_unknown="hold")
        self.assertEqual(service.settled(job)["state"], "held")
        told = self.tool("status", job)
        self.assertIn("attempt 1 at relay main: the relay's answer was lost "
                      "after the whole message was sent: it may have been "
                      "delivered", told)
        self.assertIn("held, waits for a person", told)
        self.assertIn(f"postrider retry {job}\n", told)
        self.assertIn(f"postrider drop {job}\n", told)
        self.check_ledger(held=1)
        self.tool("retry", job)
        self.assertEqual(service.settled(job)["state"], "delivered")
        self.assertIn("a person asked to try it again",
                      self.tool("status", job))
        self.check_ledger(held=0, delivered=1)

    def test_what_is_not_there_is_told(self):
        self.open()
        none = "01kadp2v4tq8w3zr5m6n7b9c0d"
        for op in ("retry", "drop"):
            self.assertEqual(self.ask(op, none)["error"], "not_found")
            self.tool(op, none, code=65)


class Drops(Operations):
    def test_what_waits_is_never_sent(self):
        service = self.open(LATER, LOST_ONCE)
        held = self.submit(on_unknown="hold")
        self.assertEqual(service.settled(held)["state"], "held")
        later = self.submit(to="later@example.net")
        self.wait_state(later, "deferred")
        future = self.submit(send_at="2099-01-01T00:00:00Z")
        self.assertEqual(self.tool("drop", held, later, future),
                         "3 jobs dropped\n")
        for job in (held, later, future):
            status = service.status(job)
            self.assertEqual(status["state"], "cancelled")
            self.assertEqual(status["trail"][-1]["event"], "dropped")
            self.assertFalse(status["body"])
        self.check_ledger(accepted=3, cancelled=3)
        self.assertIn("job.dropped", service.log())

    def test_what_is_settled_is_forgotten(self):
        service = self.open(REFUSED_ONCE)
        job = self.submit(to="bad@example.net")
        self.assertEqual(service.settled(job)["state"], "failed")
        answer = self.ask("drop", job)
        self.assertTrue(answer["changed"], answer)
        self.assertEqual(answer["job"]["state"], "failed")
        self.assertEqual(self.ask("status", job)["error"], "not_found")
        self.assertEqual(self.ask("list")["jobs"], [])
        self.check_ledger(accepted=1, failed=1)

    def test_an_attempt_that_runs_is_not_disturbed(self):
        service = self.open("final:count=1,delay=1500")
        job = self.submit()
        self.wait_state(job, "active")
        for op in ("drop", "retry"):
            answer = self.ask(op, job)
            self.assertEqual(answer["error"], "not_cancellable", answer)
        self.assertEqual(service.settled(job)["state"], "delivered")


class WhoMay(Operations):
    def test_nobody_over_tcp_or_udp(self):
        service = self.open()
        job = self.submit(send_at="2099-01-01T00:00:00Z")
        requests = [{"op": "list"}, {"op": "retry", "id": job},
                    {"op": "drop", "id": job}]
        for framing in ("lines", "length"):
            with service.tcp(framing) as client:
                for request in requests:
                    answer = client.ask(request)
                    self.assertEqual(answer["error"], "forbidden", answer)
                    self.assertFalse(answer["retry"])
                    self.assertIn("Unix socket", answer["message"])
                # The connection goes on.
                self.assertTrue(client.ask({"op": "ping"})["ok"])
        with service.udp() as client:
            for request in requests:
                self.assertEqual(client.ask(request)["error"], "unknown_op")
        self.assertEqual(service.status(job)["state"], "queued")
        done = postrider("-s", "tcp:%s:%d" % service.daemon.address("tcp"),
                         "list")
        self.assertEqual(done.returncode, 77, done.stderr)


if __name__ == "__main__":
    unittest.main()

"""The command line tool's list, retry and drop, and a job's trail, against a
daemon made of Python.
"""
import json
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_daemon import (ID, Case, Fake, answering, job,  # noqa: E402
                         postrider, refusal)


def stamp(ago_s=0):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ",
                         time.gmtime(time.time() - ago_s))


def listed(number, **more):
    """One of a list's jobs."""
    return {"id": f"01kadp2v4tq8w3zr5m{number:08d}", "state": "failed",
            "created_at": stamp(1000), "attempts": 1,
            "recipients": [{"address": f"r{number}@example.org",
                            "state": "failed", "attempts": 1,
                            "reply": "550 5.1.1 Nobody"}], **more}


def page(jobs, more=False):
    return {"ok": True, "jobs": jobs, "more": more,
            **({"after": jobs[-1]["id"]} if jobs else {})}


def changed(what=True):
    return {"ok": True, "changed": what, "job": listed(1)}


class Usage(Case):
    def test_help_fits_a_terminal(self):
        done = postrider("--help")
        for command in ("list", "retry", "drop"):
            self.assertRegex(done.stdout, rf"(?m)^  {command} ")
            own = postrider(command, "--help")
            self.assert_exit(own, 0)
            for line in own.stdout.splitlines():
                self.assertLessEqual(len(line), 80, line)

    def test_wrong_usage_is_64(self):
        for args in [["list", "x"], ["list", "--limit", "-1"],
                     ["list", "--older", "1"], ["list", "--older", "-1s"],
                     ["list", "--state", b"\xff"], ["list", "--tag", b"\xff"],
                     ["retry"], ["retry", "--all-failed", ID], ["drop"],
                     ["retry", b"\xff"], ["drop", ID, b"\xff"],
                     ["drop", "--all-failed"],
                     ["-s", "udp:127.0.0.1:9", "list"],
                     ["-s", "udp:127.0.0.1:9", "retry", ID],
                     ["-s", "udp:127.0.0.1:9", "drop", ID]]:
            with self.subTest(args=args):
                done = postrider(*args)
                self.assert_exit(done, 64)
                self.assertTrue(done.stderr.startswith("postrider: "))
                self.assertEqual(done.stdout, "")

    def test_no_daemon_is_69(self):
        for args in (["list"], ["retry", ID], ["retry", "--all-failed"],
                     ["drop", ID]):
            with self.subTest(args=args):
                done = postrider("-s", "unix:/nonexistent/socket", *args)
                self.assert_exit(done, 69)


class List(Case):
    def list(self, replies, *args, code=0):
        with answering(*replies) as fake:
            done = postrider("-s", fake.address, "list", *args)
            self.assert_exit(done, code)
            return done, fake.requests

    def test_a_table_with_a_line_for_each_job(self):
        done, requests = self.list([page([listed(1), listed(2)])])
        self.assertEqual(requests, [{"op": "list", "limit": 100}])
        head, first, second = done.stdout.splitlines()
        self.assertRegex(head, r"^ID +STATE +AGE +TRIES +NEXT TRY +RECIPIENT")
        self.assertRegex(first, rf"^{listed(1)['id']}  failed +16m +1  - +"
                                r"r1@example\.org +550 5\.1\.1 Nobody$")
        self.assertIn("r2@example.org", second)
        self.assertEqual(done.stderr, "")

    def test_filters_reach_the_daemon(self):
        _, requests = self.list(
            [page([])], "--state", "failed,held", "--state=deferred",
            "--relay", "main", "--tag", "n€ws", "--older", "90m", "--limit",
            "7")
        self.assertEqual(requests, [
            {"op": "list", "state": ["failed", "held", "deferred"],
             "relay": "main", "tag": "n€ws", "older": "90m", "limit": 7}])

    def test_every_job_is_older_than_no_time(self):
        _, requests = self.list([page([])], "--older", "0s")
        self.assertEqual(requests, [{"op": "list", "limit": 100}])

    def test_nothing_found_is_said_and_no_error(self):
        done, _ = self.list([page([])])
        self.assertEqual(done.stdout, "no jobs\n")
        done, _ = self.list([page([])], "--ids")
        self.assertEqual(done.stdout, "")

    def test_pages_are_one_list_with_one_head(self):
        done, requests = self.list(
            [page([listed(1), listed(2)], True),
             {"ok": True, "jobs": [], "more": True, "after": ID},
             page([listed(3)])], "--limit", "0")
        self.assertEqual([r.get("after") for r in requests],
                         [None, listed(2)["id"], ID])
        self.assertEqual({r["limit"] for r in requests}, {1000})
        self.assertEqual(done.stdout.count("RECIPIENT"), 1)
        self.assertEqual(len(done.stdout.splitlines()), 4)

    def test_the_limit_holds_over_pages_and_more_is_told(self):
        done, requests = self.list(
            [page([listed(1), listed(2)], True), page([listed(3)], True)],
            "--limit", "3")
        self.assertEqual([r["limit"] for r in requests], [3, 1])
        self.assertEqual(len(done.stdout.splitlines()), 4)
        self.assertIn("--limit 0", done.stderr)

    def test_ids_are_for_other_commands(self):
        done, _ = self.list([page([listed(1)], True), page([listed(2)])],
                            "--ids")
        self.assertEqual(done.stdout,
                         listed(1)["id"] + "\n" + listed(2)["id"] + "\n")

    def test_json_is_every_page_as_it_came(self):
        pages = [page([listed(1)], True), page([listed(2)])]
        done, _ = self.list(pages, "--json")
        self.assertEqual([json.loads(line)
                          for line in done.stdout.splitlines()], pages)

    def test_a_daemon_that_never_ends_is_76(self):
        for reply in (page([listed(1)], True),
                      {"ok": True, "jobs": [], "more": True},
                      {"ok": True, "jobs": [], "more": True, "after": ""},
                      {"ok": True, "jobs": [], "more": True, "after": "x\0"},
                      {"ok": True, "jobs": [], "more": True,
                       "after": "x" * 65},
                      {"ok": True, "jobs": 7}, {"ok": True}):
            with self.subTest(reply=reply):
                done, requests = self.list([reply], "--limit", "0", code=76)
                self.assertIn("makes no sense", done.stderr)
                self.assertLess(len(requests), 4)

    def test_who_may_not_is_77(self):
        done, _ = self.list([refusal("forbidden")], code=77)
        self.assertIn("forbidden", done.stderr)
        self.assertEqual(done.stdout, "")

    def test_no_job_can_do_anything_to_the_terminal(self):
        evil = "\x1b]0;x\x07\x9b31m\r\n\u202e\x00\x7f"
        jobs = [{"id": evil, "state": evil, "created_at": evil, "note": evil,
                 "recipients": [{"address": evil, "state": evil,
                                 "reply": evil}]}]
        for args in ([], ["--ids"]):
            done, _ = self.list([{"ok": True, "jobs": jobs, "more": False}],
                                *args)
            self.assertNotRegex(done.stdout,
                                "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")


class Change(Case):
    def change(self, replies, *args, code=0):
        with answering(*replies) as fake:
            done = postrider("-s", fake.address, *args)
            self.assert_exit(done, code)
            return done, fake.requests

    def test_each_id_is_asked_for_and_counted(self):
        for op, words in (("retry", "1 job will be tried again"),
                          ("drop", "1 job dropped")):
            with self.subTest(op=op):
                done, requests = self.change([changed()], op, ID)
                self.assertEqual(requests, [{"op": op, "id": ID}])
                self.assertEqual(done.stdout, words + "\n")
                self.assertEqual(done.stderr, "")

    def test_requests_do_not_wait_for_answers(self):
        def serve(connection):
            for number in range(64):
                self.assertEqual(connection.line(),
                                 {"op": "drop", "id": f"id{number}"})
            for number in range(64, 200):
                connection.send(changed())
                self.assertEqual(connection.line()["id"], f"id{number}")
            for _ in range(64):
                connection.send(changed())
        with Fake(serve) as fake:
            done = postrider("-s", fake.address, "drop",
                             *[f"id{n}" for n in range(200)])
        self.assert_exit(done, 0)
        self.assertEqual(done.stdout, "200 jobs dropped\n")

    def test_what_was_so_already_is_told_apart(self):
        done, _ = self.change([changed(), changed(False)], "retry", "a", "b",
                              "c")
        self.assertEqual(done.stdout,
                         "1 job will be tried again, 2 waited already\n")

    def test_refusals_are_named_and_have_their_exit_codes(self):
        for replies, code in [
                ([refusal("not_found")], 65),
                ([refusal("bad_value", field="id")], 65),
                ([refusal("not_cancellable")], 65),
                ([refusal("forbidden")], 77),
                ([refusal("forbidden"), refusal("not_found")], 65),
                ([refusal("internal", retry=True), refusal("not_found")], 75),
                ([refusal("shutting_down", retry=True)], 75)]:
            with self.subTest(replies=replies):
                done, _ = self.change([changed(), *replies], "retry", "first",
                                      "second", "third", code=code)
                self.assertIn("1 job will be tried again, ", done.stdout)
                self.assertNotIn("first", done.stderr)
                self.assertIn("second: " + replies[0]["error"], done.stderr)
                self.assertIn("third: " + replies[-1]["error"], done.stderr)

    def test_many_refusals_are_counted_not_shown(self):
        done, _ = self.change([refusal("not_found")], "drop",
                              *[f"id{n}" for n in range(500)], code=65)
        self.assertEqual(len(done.stderr.splitlines()), 21)
        self.assertIn("not shown", done.stderr)
        self.assertEqual(done.stdout, "0 jobs dropped, 500 refused\n")

    def test_json_prints_the_answers_alone(self):
        replies = [changed(), refusal("not_found")]
        done, _ = self.change(replies, "--json", "retry", "a", "b", code=65)
        self.assertEqual([json.loads(line)
                          for line in done.stdout.splitlines()], replies)
        self.assertIn("1 refused", done.stderr)

    def test_a_lost_daemon_is_75_and_says_what_is_not_known(self):
        def serve(connection):
            connection.line()
            connection.send(changed())
        with Fake(serve) as fake:
            done = postrider("-s", fake.address, "drop", "a", "b", "c")
        self.assert_exit(done, 75)
        self.assertIn("2 not answered", done.stderr)
        self.assertIn("1 job dropped", done.stdout)

    def test_a_silent_daemon_costs_no_more_than_the_timeout(self):
        began = time.monotonic()
        with Fake(lambda c: c.wait_end()) as fake:
            done = postrider("-s", fake.address, "--timeout", "300ms", "drop",
                             "a")
        self.assert_exit(done, 75)
        self.assertIn("no answer", done.stderr)
        self.assertLess(time.monotonic() - began, 5)

    def test_nonsense_is_76(self):
        done, _ = self.change([b"[]\n"], "drop", "a", code=76)
        self.assertIn("no reply of protocol", done.stderr)


class AllFailed(Case):
    def serve_jobs(self, count):
        """A daemon with so many failed jobs, in pages of at most 100."""
        state = {"retried": [], "lists": []}

        def serve(connection):
            for request in connection.lines():
                if request["op"] == "retry":
                    state["retried"].append(request["id"])
                    connection.send(changed())
                    continue
                state["lists"].append(request)
                jobs = [listed(n) for n in range(count)
                        if listed(n)["id"] > request.get("after", "")]
                connection.send(page(jobs[:100], len(jobs) > 100))
        return serve, state

    def test_every_failed_job_is_retried_once(self):
        serve, state = self.serve_jobs(250)
        with Fake(serve) as fake:
            done = postrider("-s", fake.address, "retry", "--all-failed")
        self.assert_exit(done, 0)
        self.assertEqual(done.stdout, "250 jobs will be tried again\n")
        self.assertEqual(state["retried"],
                         [listed(n)["id"] for n in range(250)])
        self.assertEqual({tuple(r["state"]) for r in state["lists"]},
                         {("failed",)})

    def test_none_failed_is_no_error(self):
        serve, _ = self.serve_jobs(0)
        with Fake(serve) as fake:
            done = postrider("-s", fake.address, "retry", "--all-failed",
                             "--json")
        self.assert_exit(done, 0)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr, "0 jobs will be tried again\n")

    def test_who_may_not_is_77(self):
        with answering(refusal("forbidden")) as fake:
            done = postrider("-s", fake.address, "retry", "--all-failed")
        self.assert_exit(done, 77)
        self.assertEqual(done.stdout, "")


class Trail(Case):
    def status(self, *args, **fields):
        with answering(job(**fields)) as fake:
            done = postrider("-s", fake.address, "status", ID, *args)
        self.assert_exit(done, 0)
        return done.stdout

    def test_status_tells_what_happened_line_by_line(self):
        out = self.status(state="held", body=True, trail=[
            {"at": "2026-01-02T03:04:05.678Z", "event": "accepted"},
            {"at": "2026-01-02T03:05:05.678Z", "event": "attempt",
             "attempt": 1, "relay": "main",
             "text": "deferred: 451 4.7.1 Greylisting"},
            {"at": "2026-01-02T03:06:05.678Z", "event": "attempt",
             "attempt": 2, "relay": "main", "text": "answer lost"},
            {"at": "2026-01-02T03:06:05.678Z", "event": "held"}])
        self.assertIn(
            "    2026-01-02 03:04:05  accepted\n"
            "    2026-01-02 03:05:05  attempt 1 at relay main: refused for "
            "now: 451 4.7.1 Greylisting\n"
            "    2026-01-02 03:06:05  attempt 2 at relay main: the relay's "
            "answer was lost after the whole message was sent: it may have "
            "been delivered\n"
            "    2026-01-02 03:06:05  held, waits for a person\n", out)
        self.assertIn(f"postrider retry {ID}\n", out)
        self.assertIn(f"postrider drop {ID}\n", out)
        self.assertNotIn("body", out)
        self.assertNotIn("trail", out)

    def test_times_of_today_have_no_date(self):
        now = stamp()
        out = self.status(state="queued",
                          trail=[{"at": now, "event": "accepted"}])
        if stamp()[:10] == now[:10]:
            self.assertIn(f"    {now[11:19]}  accepted\n", out)

    def test_no_trail_can_do_anything_to_the_terminal(self):
        evil = "\x1b]0;x\x07\x9b31m\r\n\u202e\x00\x7f"
        event = {"at": evil, "event": evil, "relay": evil, "text": evil}
        out = self.status(state="held", id=evil, trail=[
            event, {**event, "event": "attempt", "attempt": 9}])
        self.assertNotRegex(out, "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")

    def test_what_is_of_another_type_does_no_harm(self):
        for trail in ([], {}, "x", 7, [1, "x", None, [], {}],
                      [{"at": 1, "event": 2, "attempt": "x", "relay": [],
                        "text": {}}],
                      [{"event": "attempt", "attempt": -5},
                       {"event": "attempt", "attempt": 2 ** 53}]):
            with self.subTest(trail=trail):
                self.assertIn("job ", self.status(state="held", trail=trail))


if __name__ == "__main__":
    unittest.main()

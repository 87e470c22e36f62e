"""The command line tool against a daemon made of Python: commands, exit codes,
deadlines, what people read. What `enqueue` does is in test_cli_enqueue.py.
"""
import base64
import json
import os
import pty
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_daemon import (ID, OK, Case, Fake, FakeUdp, answering,  # noqa: E402
                         environment, job, postrider, refusal)
from harness import DEADLINE_S, binary  # noqa: E402


class Usage(Case):
    def test_help_for_the_whole_and_each_command(self):
        done = postrider("--help")
        self.assert_exit(done, 0)
        commands = ["send", "enqueue", "status", "wait", "cancel", "stats",
                    "ping"]
        for command in commands:
            self.assertRegex(done.stdout, rf"(?m)^  {command} ")
            own = postrider(command, "--help")
            self.assert_exit(own, 0)
            self.assertIn(f"postrider {command}", own.stdout)
            self.assertEqual(own.stderr, "")
            for line in own.stdout.splitlines():
                self.assertLessEqual(len(line), 80, line)

    def test_version(self):
        self.assertRegex(postrider("--version").stdout,
                         r"^postrider \d+\.\d+\.\d+\n$")

    def test_wrong_usage_is_64_and_names_the_help(self):
        for args in [[], ["nosuch"], ["status"], ["status", "a", "b"],
                     ["stats", "--nosuch"], ["-s", "nowhere", "ping"],
                     ["-s", "tcp:127.0.0.1:0", "ping"], ["-s"],
                     ["ping", "--timeout", "5"], ["send", "--to", "a@x.org"],
                     ["send", "--from", "a@x.org"],
                     ["send", "--wait", "never"],
                     ["enqueue", "--in-flight", "0"],
                     ["-s", "udp:127.0.0.1:9", "enqueue"],
                     ["-s", "udp:127.0.0.1:9", "wait", ID]]:
            with self.subTest(args=args):
                done = postrider(*args)
                self.assert_exit(done, 64)
                self.assertRegex(done.stderr, r"^postrider: .*(--help|tcp:)")
                self.assertEqual(done.stdout, "")

    def test_a_name_that_ends_in_sendmail_says_what_is_missing(self):
        path = os.path.join(self.directory, "sendmail")
        os.symlink(binary("postrider"), path)
        done = postrider("-t", program=path)
        self.assert_exit(done, 69)
        self.assertIn("no sendmail mode", done.stderr)

    def test_output_that_cannot_be_written_is_74(self):
        with open("/dev/full", "wb") as full:
            done = postrider("--help", stdout=full)
        self.assert_exit(done, 74)


class Reaching(Case):
    def test_no_daemon_is_69_and_says_where_and_what_to_do(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
        stale = os.path.join(self.directory, "stale")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(stale)
        for address in ["unix:" + os.path.join(self.directory, "none"),
                        "unix:" + stale, f"tcp:127.0.0.1:{port}",
                        f"udp:127.0.0.1:{port}"]:
            for command in (["ping"], ["status", ID]):
                with self.subTest(address=address, command=command):
                    done = postrider("-s", address, *command)
                    self.assert_exit(done, 69)
                    self.assertIn(address.split(":")[1], done.stderr)
                    self.assertIn("is postriderd running", done.stderr)
                    self.assertIn("-s", done.stderr)
                    self.assertIn("POSTRIDER_SOCKET", done.stderr)

    def test_enqueue_without_a_daemon_is_69_and_reads_nothing(self):
        done = postrider("-s", "unix:/nonexistent/socket", "enqueue",
                         stdin=b"{}\n")
        self.assert_exit(done, 69)

    def test_the_environment_names_the_address_and_s_wins(self):
        with answering({"ok": True}) as fake:
            done = postrider("ping", env={"POSTRIDER_SOCKET": fake.address})
            self.assert_exit(done, 0)
            done = postrider("ping", "-s", fake.address,
                             env={"POSTRIDER_SOCKET": "unix:/nonexistent"})
            self.assert_exit(done, 0)

    def test_a_socket_this_user_may_not_use_is_77(self):
        shutil.copy(binary("postrider"), self.directory)
        os.chmod(self.directory, 0o755)
        program = os.path.join(self.directory, "postrider")
        with answering({"ok": True}) as fake:
            os.chmod(fake.directory, 0o755)
            os.chmod(fake.address[len("unix:"):], 0)
            other = {"user": 65534} if os.geteuid() == 0 else {}
            done = postrider("-s", fake.address, "ping", program=program,
                             cwd="/", **other)
        self.assert_exit(done, 77)
        self.assertIn("Permission denied", done.stderr)

    def test_a_silent_daemon_costs_no_more_than_the_timeout(self):
        for kind in ("unix", "tcp"):
            with self.subTest(kind=kind), \
                    Fake(lambda c: c.wait_end(), kind) as fake:
                began = time.monotonic()
                done = postrider("-s", fake.address, "--timeout", "300ms",
                                 "stats")
                took = time.monotonic() - began
                self.assert_exit(done, 75)
                self.assertIn("no answer", done.stderr)
                self.assertGreaterEqual(took, 0.3)
                self.assertLess(took, 5)

    def test_a_drip_of_bytes_does_not_extend_the_timeout(self):
        stop = threading.Event()

        def drip(connection):
            while not stop.wait(0.02):
                connection.send(b"{")
        with Fake(drip) as fake:
            done = postrider("-s", fake.address, "--timeout", "300ms", "ping")
            stop.set()
        self.assert_exit(done, 75)

    def test_a_late_answer_is_waited_for(self):
        def late(connection):
            connection.line()
            select.select([], [], [], 0.4)
            connection.send({"ok": True})
        with Fake(late) as fake:
            self.assert_exit(postrider("-s", fake.address, "ping"), 0)

    def test_a_daemon_that_hangs_up_is_75(self):
        for part in (b"", b'{"ok":tr'):
            def serve(connection, part=part):
                connection.line()
                connection.send(part)
            with self.subTest(part=part), Fake(serve, "tcp") as fake:
                done = postrider("-s", fake.address, "ping")
                self.assert_exit(done, 75)
                self.assertIn("closed the connection", done.stderr)

    def test_answers_that_make_no_sense_are_76_and_shown_safely(self):
        for answer in [b"HTTP/1.1 400 Bad \x1b[31mRequest\r\n", b"\n", b"[]\n",
                       b'{"ok":1}\n', b'{"ok":true}{"ok":true}\n',
                       b"\xff\xfe\x00\n", b"[" * 5000 + b"\n",
                       b'{"ok":true,"x":"\xff"}\n']:
            with self.subTest(answer=answer[:40]), answering(answer) as fake:
                done = postrider("-s", fake.address, "ping")
                self.assert_exit(done, 76)
                self.assertIn("no reply of protocol", done.stderr)
                self.assertNotRegex(done.stderr, r"[\x00-\x09\x0b-\x1f]")
                self.assertLess(len(done.stderr), 600)

    def test_an_endless_answer_is_bounded(self):
        def endless(connection):
            connection.line()
            while True:
                connection.send(b"x" * (1 << 20))
        with Fake(endless) as fake:
            done = postrider("-s", fake.address, "ping")
        self.assert_exit(done, 76)
        self.assertIn("32 MiB", done.stderr)

    def test_a_long_answer_is_read_whole(self):
        recipients = [{"address": f"r{i}@example.org", "state": "delivered",
                       "attempts": 1, "reply": "250 ok " + "x" * 400}
                      for i in range(20000)]
        with answering(job("delivered", recipients=recipients)) as fake:
            done = postrider("-s", fake.address, "status", ID)
        self.assert_exit(done, 0)
        self.assertEqual(done.stdout.count("@example.org"), 20000)


class Asking(Case):
    def test_ping_says_how_long_it_took(self):
        for kind in ("unix", "tcp"):
            def serve(connection):
                self.assertEqual(connection.line(), {"op": "ping"})
                connection.send({"ok": True})
            with self.subTest(kind=kind), Fake(serve, kind) as fake:
                done = postrider("-s", fake.address, "ping")
                self.assert_exit(done, 0)
                self.assertRegex(done.stdout, r"round trip \d+\.\d+ ms")
                self.assertIn(fake.address, done.stdout)

    def test_json_is_the_reply_as_it_came(self):
        line = b'{ "ok" : true,  "job":{"state":"queued"} , "x":"\\u001b" }'
        with answering(line + b"\r\n") as fake:
            done = postrider("-s", fake.address, "status", ID, "--json")
        self.assert_exit(done, 0)
        self.assertEqual(done.stdout, line.decode() + "\n")

    def test_error_words_have_their_exit_codes(self):
        for reply, code in [
                (refusal("bad_address", field="to[1]"), 65),
                (refusal("not_found"), 65),
                (refusal("not_cancellable"), 65),
                (refusal("unknown_op"), 65),
                (refusal("too_large"), 65),
                (refusal("internal"), 65),
                (refusal("internal", retry=True), 75),
                (refusal("queue_full", retry=True), 75),
                (refusal("spool_full", retry=True), 75),
                (refusal("rate_limited", retry=True), 75),
                (refusal("shutting_down", retry=True), 75),
                ({"ok": False, "error": "queue_full"}, 75),
                (refusal("auth_required"), 77),
                (refusal("auth_failed"), 77),
                (refusal("forbidden"), 77),
                ({"ok": False}, 65)]:
            with self.subTest(reply=reply), answering(reply) as fake:
                done = postrider("-s", fake.address, "cancel", ID)
                self.assert_exit(done, code)
                self.assertIn(reply.get("error", "refused"), done.stderr)
                self.assertIn(reply.get("field", ""), done.stderr)
                self.assertIn(reply.get("message", ""), done.stderr)
                self.assertEqual(done.stdout, "")

    def test_json_shows_refusals_too(self):
        with answering(refusal("not_found")) as fake:
            done = postrider("-s", fake.address, "--json", "status", ID)
        self.assert_exit(done, 65)
        self.assertEqual(json.loads(done.stdout)["error"], "not_found")

    def test_status_tells_a_person_what_happened(self):
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ",
                             time.gmtime(time.time() + 190))
        with answering(job(
                "deferred", created_at="2026-01-02T03:04:05.678Z",
                attempts=2, next_attempt_at=soon, tag="news",
                metadata={"order": "17"}, size=4096, something_new=True,
                recipients=[
                    {"address": "a@example.org", "state": "delivered",
                     "attempts": 1, "relay": "main", "reply": "250 2.0.0 ok"},
                    {"address": "bertha@example.org", "state": "deferred",
                     "attempts": 2, "relay": "main",
                     "reply": "450 4.2.1 busy"}])) as fake:
            done = postrider("-s", fake.address, "status", ID)
            self.assertEqual(fake.requests, [{"op": "status", "id": ID}])
        self.assert_exit(done, 0)
        out = done.stdout
        self.assertIn(f"job {ID}: deferred - ", out)
        self.assertRegex(out, r"created +2026-01-02 03:04:05 \(.* ago\)")
        self.assertRegex(out, r"next attempt +20.* \(in 3 min\)")
        self.assertRegex(out, r"tag +news")
        self.assertRegex(out, r"order +17")
        self.assertRegex(out, r"size +4\.0 KiB")
        self.assertRegex(out, r"something new +yes")
        self.assertRegex(
            out, r"a@example.org +delivered  by main: 250 2\.0\.0 ok\n")
        self.assertRegex(
            out, r"bertha@example.org  deferred   by main, attempt 2: 450")

    def test_no_reply_can_do_anything_to_the_terminal(self):
        evil = "\x1b]0;x\x07\x9b31m\r\n\u202e\x00\x7f"
        with answering(job(evil, tag=evil, recipients=[
                {"address": evil, "state": evil, "reply": evil,
                 "relay": evil}], **{evil: evil})) as fake:
            done = postrider("-s", fake.address, "status", ID)
        self.assertNotRegex(done.stdout,
                            "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")
        self.assertIn("\\x1b]0;x\\x07", done.stdout)
        with answering(refusal(evil, field=evil)) as fake:
            done = postrider("-s", fake.address, "status", ID)
        self.assertNotRegex(done.stderr,
                            "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")

    def test_wait_asks_until_it_is_settled(self):
        with answering(job("queued"), job("active"),
                       job("delivered")) as fake:
            done = postrider("-s", fake.address, "wait", ID)
            self.assertEqual(len(fake.requests), 3)
            for request in fake.requests:
                self.assertEqual(request["op"], "wait")
                self.assertEqual(request["id"], ID)
                self.assertGreater(request["timeout_ms"], 0)
        self.assert_exit(done, 0)
        self.assertEqual(done.stdout.count("job "), 1)

    def test_wait_tells_by_its_exit_code_how_it_ended(self):
        for state, code in [("delivered", 0), ("failed", 65), ("expired", 65),
                            ("cancelled", 65), ("held", 75), ("queued", 75)]:
            with self.subTest(state=state), answering(job(state)) as fake:
                done = postrider("-s", fake.address, "wait", ID, "--for",
                                 "300ms")
                self.assert_exit(done, code)
                self.assertIn(state, done.stdout)

    def test_wait_for_a_job_nobody_knows(self):
        with answering(refusal("not_found")) as fake:
            self.assert_exit(postrider("-s", fake.address, "wait", ID), 65)

    def test_cancel(self):
        with answering({"ok": True, "id": ID, "state": "cancelled"}) as fake:
            done = postrider("-s", fake.address, "cancel", ID)
            self.assertEqual(fake.requests, [{"op": "cancel", "id": ID}])
        self.assert_exit(done, 0)
        self.assertIn("cancelled", done.stdout)

    def test_stats_says_whether_the_ledger_adds_up(self):
        ledger = {"accepted": 1234567, "delivered": 1234500, "failed": 60,
                  "expired": 1, "cancelled": 1, "waiting": 3, "active": 1,
                  "held": 1}
        for change, words in [(0, "(adds up)"), (1, "DOES NOT ADD UP")]:
            reply = {"ok": True, "version": "0.1.0", "uptime_ms": 7384000,
                     "ledger": {**ledger, "failed": 60 + change},
                     "relays": [{"name": "main", "state": "ready",
                                 "delivered": 5}]}
            with self.subTest(change=change), answering(reply) as fake:
                done = postrider("-s", fake.address, "stats")
                self.assertEqual(fake.requests, [{"op": "stats"}])
            self.assert_exit(done, 0)
            self.assertIn(words, done.stdout)
            self.assertRegex(done.stdout, r"accepted +1,234,567")
            self.assertRegex(done.stdout, r"uptime +2 h 3 min")
            self.assertRegex(done.stdout, r"(?m)^ +main$")


class Sending(Case):
    def send(self, *args, reply=None, stdin=b"text\n", code=0):
        with answering(*(reply or [OK])) as fake:
            done = postrider("-s", fake.address, "send", "--from", "a@x.org",
                             "--to", "b@x.org", *args, stdin=stdin)
            self.assert_exit(done, code)
            return done, fake.requests

    def test_a_simple_mail_prints_its_id_first(self):
        done, requests = self.send("--subject", "Grüße")
        self.assertEqual(requests, [{"from": "a@x.org", "to": ["b@x.org"],
                                     "subject": "Grüße", "text": "text\n"}])
        self.assertEqual(done.stdout, f"{ID} queued, kept in memory\n")
        self.assertEqual(done.stderr, "")

    def test_every_option_reaches_the_daemon(self):
        html = self.file("a.html", "<p>ü</p>".encode())
        pdf = self.file("ä.PDF", bytes(range(256)))
        colon = self.file("with:colon", b"x")
        csv = self.file("data", b"1;2")
        png = self.file("logo.png", b"\x89PNG")
        _, requests = self.send(
            "--to", "c@x.org, D <d@x.org>", "--cc=e@x.org", "--bcc",
            "f@x.org", "--reply-to", "r@x.org", "--text", "-", "--html", html,
            "--attach", pdf, "--attach", colon, "--attach",
            csv + ":text/csv", "--inline", png, "--inline", png + ":logo",
            "--header", "X-One:  1: 2 ", "--header", "List-Id: <l>",
            "--priority", "high", "--send-at", "2026-12-01T00:00:00+01:00",
            "--expires-at", "2h", "--route", "bulk", "--key", "k1", "--tag",
            "t", "--meta", "a=b=c", "--meta", "empty=", "--on-unknown",
            "hold", stdin="\"\\\x00\x1f\n€😀".encode())
        got = requests[0]
        expires = time.mktime(time.strptime(got.pop("expires_at")[:19],
                                            "%Y-%m-%dT%H:%M:%S"))
        self.assertAlmostEqual(
            expires, time.mktime(time.gmtime()) + 7200, delta=60)

        def part(name, kind, data, **more):
            return {"filename": name, "content_type": kind,
                    "content": base64.b64encode(data).decode(), **more}
        self.assertEqual(got, {
            "from": "a@x.org",
            "to": ["b@x.org", "c@x.org, D <d@x.org>"], "cc": ["e@x.org"],
            "bcc": ["f@x.org"], "reply_to": ["r@x.org"],
            "text": "\"\\\x00\x1f\n€😀", "html": "<p>ü</p>",
            "headers": {"X-One": "1: 2", "List-Id": "<l>"},
            "attachments": [
                part("logo.png", "image/png", b"\x89PNG",
                     content_id="logo.png"),
                part("logo.png", "image/png", b"\x89PNG", content_id="logo"),
                part("ä.PDF", "application/pdf", bytes(range(256))),
                part("with:colon", "application/octet-stream", b"x"),
                part("data", "text/csv", b"1;2")],
            "priority": "high", "send_at": "2026-12-01T00:00:00+01:00",
            "route": "bulk", "idempotency_key": "k1", "tag": "t",
            "metadata": {"a": "b=c", "empty": ""}, "on_unknown": "hold"})

    def test_standard_input_is_left_alone_when_a_text_is_given(self):
        page = self.file("p.html", b"<p>")
        with answering(OK) as fake:
            read, write = os.pipe()
            try:
                done = subprocess.run(
                    [binary("postrider"), "-s", fake.address, "send", "--from",
                     "a@x.org", "--to", "b@x.org", "--html", page],
                    stdin=read, timeout=DEADLINE_S, env=environment(),
                    stdout=subprocess.DEVNULL, check=False)
            finally:
                os.close(read)
                os.close(write)
            self.assertEqual(done.returncode, 0)
            self.assertNotIn("text", fake.requests[0])

    def test_wrong_input_is_named(self):
        for args, stdin, code, words in [
                ([], b"ab\xffcd", 65, "not UTF-8 at byte 2"),
                (["--subject", b"\xff"], b"", 64, "--subject"),
                (["--text", "/nonexistent/file"], b"", 66, "/nonexistent/file"),
                (["--attach", "/nonexistent/file"], b"", 66,
                 "/nonexistent/file"),
                (["--attach", "/"], b"", 66, "/"),
                (["--header", "nocolon"], b"", 64, "--header nocolon"),
                (["--header", "A: 1", "--header", "A: 2"], b"", 64, "before"),
                (["--meta", "=x"], b"", 64, "--meta"),
                (["--send-at", "tomorrow"], b"", 64, "--send-at tomorrow"),
                (["--text", "-", "--html", "-"], b"", 64, "both")]:
            with self.subTest(args=args):
                done = postrider("send", "--from", "a@x.org", "--to",
                                 "b@x.org", *args, stdin=stdin)
                self.assert_exit(done, code)
                self.assertIn(words, done.stderr)

    def test_a_duplicate_is_told(self):
        done, _ = self.send("--key", "k", reply=[{**OK, "duplicate": True}])
        self.assertIn("accepted before", done.stdout)

    def test_wait_follows_the_job(self):
        for args in (["--wait"], ["--wait", "5s"], ["--wait=5s"]):
            for state, code in [("delivered", 0), ("failed", 65)]:
                with self.subTest(args=args, state=state):
                    done, requests = self.send(
                        *args, reply=[OK, job(state)], code=code)
                    self.assertEqual(requests[1]["op"], "wait")
                    self.assertEqual(requests[1]["id"], ID)
                    self.assertTrue(done.stdout.startswith(ID))
                    self.assertIn(f"job {ID}: {state}", done.stdout)
        done, _ = self.send("--wait", "300ms", reply=[OK, job("queued")],
                            code=75)
        self.assertIn("not settled", done.stderr)

    def test_a_lost_answer_is_not_taken_for_a_no(self):
        with Fake(lambda c: c.line()) as fake:
            done = postrider("-s", fake.address, "send", "--from", "a@x.org",
                             "--to", "b@x.org")
        self.assert_exit(done, 75)
        self.assertIn("may have been accepted", done.stderr)

    def test_an_answer_before_the_end_of_the_request_is_heard(self):
        def early(connection):
            connection.sock.recv(1000)
            connection.send(refusal("too_large"))
        with Fake(early) as fake:
            done = postrider("-s", fake.address, "send", "--from", "a@x.org",
                             "--to", "b@x.org", stdin=b"x" * (20 << 20))
        self.assert_exit(done, 65)
        self.assertIn("too_large", done.stderr)

    def test_a_terminal_is_told_what_to_do(self):
        master, slave = pty.openpty()
        with answering(OK) as fake:
            with subprocess.Popen(
                    [binary("postrider"), "-s", fake.address, "send",
                     "--from", "a@x.org", "--to", "b@x.org"], stdin=slave,
                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                    env=environment()) as process:
                self.assertIn(b"Ctrl-D", process.stderr.readline())
                os.write(master, b"hello\n\x04")
                self.assertEqual(process.wait(DEADLINE_S), 0)
            self.assertEqual(fake.requests[0]["text"], "hello\n")
        os.close(master)
        os.close(slave)


class Datagrams(Case):
    def test_ping_status_and_send(self):
        def answer(request, _):
            return {"ping": {"ok": True}, "status": job("delivered"),
                    None: OK}[request.get("op")]
        with FakeUdp(answer) as fake:
            for args in (["ping"], ["status", ID],
                         ["send", "--from", "a@x.org", "--to", "b@x.org"]):
                with self.subTest(args=args):
                    self.assert_exit(postrider("-s", fake.address, *args), 0)

    def test_a_lost_datagram_is_sent_again_as_the_same_job(self):
        with FakeUdp(lambda _, number: OK if number > 1 else None) as fake:
            done = postrider("-s", fake.address, "send", "--from", "a@x.org",
                             "--to", "b@x.org", stdin=b"x")
            self.assert_exit(done, 0)
            self.assertEqual(len(fake.requests), 2)
            self.assertEqual(fake.requests[0], fake.requests[1])
            self.assertGreater(len(fake.requests[0]["idempotency_key"]), 20)

    def test_two_mails_have_two_keys_and_a_given_key_is_kept(self):
        with FakeUdp(lambda *_: OK) as fake:
            for more in ([], [], ["--key", "mine"]):
                postrider("-s", fake.address, "send", "--from", "a@x.org",
                          "--to", "b@x.org", *more)
            keys = [r["idempotency_key"] for r in fake.requests]
            self.assertEqual(len(set(keys)), 3)
            self.assertEqual(keys[2], "mine")

    def test_a_daemon_that_drops_everything_is_75(self):
        with FakeUdp(lambda *_: None) as fake:
            done = postrider("-s", fake.address, "--timeout", "200ms", "ping")
            self.assert_exit(done, 75)

    def test_a_mail_too_large_for_a_datagram_is_65_and_says_what_to_do(self):
        with FakeUdp(lambda *_: OK) as fake:
            done = postrider("-s", fake.address, "send", "--from", "a@x.org",
                             "--to", "b@x.org", stdin=b"x" * 70000)
            self.assert_exit(done, 65)
            self.assertIn("tcp:", done.stderr)
            self.assertEqual(fake.requests, [])


if __name__ == "__main__":
    unittest.main()

"""`postrider enqueue` against a daemon made of Python: pipelining, refusals,
retries, lost connections.
"""
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_daemon import (OK, Case, Fake, answering,  # noqa: E402
                         environment, postrider, refusal)
from harness import DEADLINE_S, binary, wait_until  # noqa: E402


class Enqueueing(Case):
    def enqueue(self, fake, lines, *args, **more):
        return postrider("-s", fake.address, "enqueue", *args,
                         stdin=b"".join(line + b"\n" for line in lines),
                         **more)

    @staticmethod
    def jobs(count, **more):
        return [json.dumps({"n": n, **more}).encode()
                for n in range(1, count + 1)]

    def test_ten_thousand_lines_arrive_once_and_in_order(self):
        with answering(OK) as fake:
            done = self.enqueue(fake, self.jobs(10000))
            self.assertEqual([r["n"] for r in fake.requests],
                             list(range(1, 10001)))
        self.assert_exit(done, 0)
        self.assertRegex(done.stdout, r"^10,000 accepted \(0 known before\), "
                         r"0 refused, 0 to be tried later; .*/s\n$")
        self.assertEqual(done.stderr, "")

    def test_a_file_blank_lines_line_ends_and_a_last_line_without(self):
        path = self.file("jobs", b'\n  {"n":1}\r\n\t\n{"n":2}')
        with answering(OK, {**OK, "duplicate": True}) as fake:
            done = postrider("-s", fake.address, "enqueue", path)
            self.assertEqual(fake.requests, [{"n": 1}, {"n": 2}])
        self.assert_exit(done, 0)
        self.assertIn("2 accepted (1 known before)", done.stdout)

    def test_a_missing_file_is_66(self):
        with answering(OK) as fake:
            done = postrider("-s", fake.address, "enqueue", "/nonexistent/x")
        self.assert_exit(done, 66)
        self.assertIn("/nonexistent/x", done.stderr)

    def test_no_more_than_the_allowed_number_is_in_flight(self):
        def serve(connection):
            for n in range(1, 9):
                self.assertEqual(connection.line()["n"], n)
            more, _, _ = select.select([connection.sock], [], [], 0.3)
            self.assertEqual(more, [])
            for _ in range(8):
                connection.send(OK)
            for _ in connection.lines():
                connection.send(OK)
        with Fake(serve) as fake:
            done = self.enqueue(fake, self.jobs(30), "--in-flight", "8")
        self.assert_exit(done, 0)

    def test_many_requests_are_sent_before_the_first_answer(self):
        def serve(connection):
            for _ in range(64):
                connection.line()
            for _ in range(64):
                connection.send(OK)
        with Fake(serve) as fake:
            self.assert_exit(self.enqueue(fake, self.jobs(64)), 0)

    def test_neither_side_blocks_the_other_when_both_write_much(self):
        def serve(connection):
            for _ in connection.lines():
                connection.send({**OK, "padding": "x" * 200000})
        with Fake(serve) as fake:
            done = self.enqueue(fake, self.jobs(300, padding="y" * 200000))
        self.assert_exit(done, 0)

    def test_refused_lines_are_named_and_do_not_stop_the_others(self):
        def serve(connection):
            for request in connection.lines():
                connection.send(refusal("bad_address", field="to[0]")
                                if request["n"] % 2 == 0 else OK)
        with Fake(serve) as fake:
            done = self.enqueue(fake, self.jobs(100))
        self.assert_exit(done, 65)
        self.assertIn("50 accepted (0 known before), 50 refused", done.stdout)
        named = re.findall(
            r"line (\d+): bad_address in to\[0\]: because\n", done.stderr)
        self.assertEqual(named, [str(n) for n in range(2, 42, 2)])
        self.assertEqual(done.stderr.count("\n"), 21)

    def test_lines_that_are_no_jobs_are_not_sent(self):
        lines = [b'{"n":1}', b"[1]", b'{"op":"cancel","id":"x"}',
                 b'{"raw_bytes":3}', b'{"op":"submit","n":6}',
                 b'{"n":7,"metadata":{"op":"cancel","raw_bytes":"1"}}',
                 b'{"n":8']

        def serve(connection):
            for line in connection.file:
                fake.requests.append(line)
                connection.send(OK if line.endswith(b"}\n")
                                else refusal("bad_json"))
        with Fake(serve) as fake:
            done = self.enqueue(fake, lines)
            self.assertEqual([line.rstrip() for line in fake.requests],
                             [lines[0], lines[4], lines[5], lines[6]])
        self.assert_exit(done, 65)
        for line in (2, 3, 4, 7):
            self.assertIn(f"line {line}: ", done.stderr)
        self.assertIn("3 accepted (0 known before), 4 refused", done.stdout)

    def test_a_line_over_the_limit_is_passed_over(self):
        with answering(OK) as fake:
            done = self.enqueue(
                fake, [b'{"n":1}', b'{"x":"' + b"y" * (33 << 20) + b'"}',
                       b'{"n":3}'])
            self.assertEqual(fake.requests, [{"n": 1}, {"n": 3}])
        self.assert_exit(done, 65)
        self.assertIn("line 2: not sent: the line is longer", done.stderr)

    def test_what_the_daemon_cannot_take_now_is_sent_again(self):
        seen = {}

        def serve(connection):
            for request in connection.lines():
                n = request["n"]
                seen[n] = seen.get(n, 0) + 1
                connection.send(OK if seen[n] > n % 3 else refusal(
                    "queue_full", retry=True, retry_after_ms=10))
        with Fake(serve) as fake:
            done = self.enqueue(fake, self.jobs(200))
        self.assert_exit(done, 0)
        self.assertIn("200 accepted", done.stdout)
        self.assertEqual(seen, {n: 1 + n % 3 for n in range(1, 201)})
        self.assertEqual(done.stderr, "")

    def test_a_daemon_that_takes_nothing_is_given_up(self):
        with answering(refusal("queue_full", retry=True)) as fake:
            began = time.monotonic()
            done = self.enqueue(fake, self.jobs(1000), "--give-up", "500ms")
            self.assertLess(time.monotonic() - began, 10)
        self.assert_exit(done, 75)
        self.assertIn("giving up", done.stderr)
        self.assertIn("not accepted so far: lines 2 to 64\n", done.stderr)
        self.assertIn("not sent: every line from 65 on", done.stderr)
        self.assertIn("0 refused, 64 to be tried later", done.stdout)

    def test_one_job_it_never_takes_does_not_stop_the_others(self):
        def serve(connection):
            for request in connection.lines():
                select.select([], [], [], 0.01)
                connection.send(refusal("internal", retry=True)
                                if request["n"] == 1 else OK)
        with Fake(serve) as fake:
            done = self.enqueue(fake, self.jobs(60), "--give-up", "200ms",
                                "--in-flight", "2")
        self.assert_exit(done, 75)
        self.assertIn("59 accepted", done.stdout)
        self.assertIn("1 to be tried later", done.stdout)

    def test_without_giving_time_nothing_is_sent_again(self):
        with answering(OK, refusal("queue_full", retry=True), OK) as fake:
            done = self.enqueue(fake, self.jobs(3), "--give-up", "0")
            self.assertEqual(len(fake.requests), 3)
        self.assert_exit(done, 75)
        self.assertIn("2 accepted", done.stdout)

    def test_a_lost_connection_tells_which_lines_have_no_answer(self):
        def serve(connection):
            for _ in range(10):
                connection.line()
            for _ in range(4):
                connection.send(OK)
        with Fake(serve) as fake:
            done = self.enqueue(fake, self.jobs(1000), "--in-flight", "10")
        self.assert_exit(done, 75)
        found = re.search(r"not answered.*: lines 5 to (\d+) ", done.stderr)
        self.assertIsNotNone(found, done.stderr)
        last = int(found.group(1))
        self.assertIn(last, range(10, 15))
        self.assertIn(f"not sent: every line from {last + 1} on", done.stderr)
        self.assertIn("closed the connection", done.stderr)
        self.assertIn("4 accepted", done.stdout)

    def test_a_silent_daemon_tells_the_same(self):
        with Fake(lambda c: c.wait_end()) as fake:
            done = self.enqueue(fake, self.jobs(3), "--timeout", "300ms")
        self.assert_exit(done, 75)
        self.assertIn("no answer", done.stderr)
        self.assertIn("not answered, so possibly accepted all the same: "
                      "lines 1 to 3 ", done.stderr)

    def test_garbage_tells_the_same(self):
        with answering(OK, b"\x1bgarbage\n") as fake:
            done = self.enqueue(fake, self.jobs(3), "--in-flight", "1")
        self.assert_exit(done, 76)
        self.assertIn("lines 2 ", done.stderr)
        self.assertIn("not sent: every line from 3 on", done.stderr)

    def test_a_daemon_that_hangs_up_while_idle_loses_nothing(self):
        served = []

        def serve(connection):
            served.append(connection.line())
            connection.send(OK)
        with Fake(serve) as fake:
            with subprocess.Popen(
                    [binary("postrider"), "-s", fake.address, "enqueue",
                     "--json"],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL, env=environment()) as process:
                for n in (1, 2, 3):
                    process.stdin.write(b'{"n":%d}\n' % n)
                    process.stdin.flush()
                    wait_until(lambda n=n: len(served) == n, "the job")
                    # All three threads that served and the accepting one.
                    wait_until(lambda n=n: not fake.threads[n].is_alive(),
                               "the end of the connection")
                    wait_until(lambda n=n: self.idle(process), "to see it")
                out, _ = process.communicate(timeout=DEADLINE_S)
                self.assertEqual(process.returncode, 0)
        self.assertEqual(out.count(b"\n"), 3)
        self.assertEqual([r["n"] for r in served], [1, 2, 3])

    def test_a_daemon_that_turns_the_connection_away_is_heard(self):
        def serve(connection):
            connection.send(refusal("rate_limited", retry=True))
        with Fake(serve) as fake:
            read, write = os.pipe()
            done = postrider("-s", fake.address, "enqueue", "-", stdin=read)
            os.close(read)
            os.close(write)
        self.assert_exit(done, 75)
        self.assertIn("the daemon says: rate_limited: because", done.stderr)
        self.assertIn("not sent: every line from 1 on", done.stderr)

    @staticmethod
    def idle(process):
        """It sees that the daemon is gone by having no socket any more."""
        folder = f"/proc/{process.pid}/fd"
        links = []
        for name in os.listdir(folder):
            try:
                links.append(os.readlink(os.path.join(folder, name)))
            except FileNotFoundError:
                pass
        return not any(link.startswith("socket:") for link in links)

    def test_ctrl_c_ends_with_the_summary(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number=number), answering(OK) as fake:
                with subprocess.Popen(
                        [binary("postrider"), "-s", fake.address, "enqueue"],
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE, env=environment()) as process:
                    process.stdin.write(b"".join(
                        line + b"\n" for line in self.jobs(5)))
                    process.stdin.flush()
                    wait_until(lambda: len(fake.requests) == 5, "five jobs")
                    process.send_signal(number)
                    process.wait(DEADLINE_S)
                    out = process.stdout.read().decode()
                    err = process.stderr.read().decode()
                    process.stdin.close()
                self.assertEqual(process.returncode, 75, out + err)
                self.assertIn("5 accepted", out)
                self.assertIn("every line from 6 on", err)

    def test_a_terminal_sees_progress(self):
        def serve(connection):
            for request in connection.lines():
                if request["n"] == 50:
                    select.select([], [], [], 0.7)
                connection.send(OK)
        master, slave = pty.openpty()
        with Fake(serve) as fake:
            done = subprocess.run(
                [binary("postrider"), "-s", fake.address, "enqueue"],
                input=b"".join(line + b"\n" for line in self.jobs(100)),
                stdout=subprocess.PIPE, stderr=slave, env=environment(),
                timeout=DEADLINE_S, check=False)
        os.close(slave)
        shown = os.read(master, 65536).decode()
        os.close(master)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(shown, r"\r\x1b\[K49 accepted, 0 refused, .* in "
                         "flight")
        self.assertTrue(shown.endswith("\r\x1b[K"), repr(shown))

    def test_a_hundred_megabytes_need_no_memory_of_that_size(self):
        path = os.path.join(self.directory, "many")
        line = b'{"text":"' + b"x" * 2000 + b'"}\n'
        with open(path, "wb") as out:
            for _ in range(50):
                out.write(line * 1000)
        answer = json.dumps(OK).encode() + b"\n"

        def serve(connection):
            while data := connection.sock.recv(1 << 20):
                connection.send(answer * data.count(b"\n"))
        options = os.environ.get("ASAN_OPTIONS", "")
        env = environment(ASAN_OPTIONS=options + ":quarantine_size_mb=1")
        with Fake(serve) as fake:
            process = subprocess.Popen(
                [binary("postrider"), "-s", fake.address, "enqueue", path],
                stdout=subprocess.PIPE, env=env)
            out = process.stdout.read().decode()
            process.stdout.close()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        self.assertIn("50,000 accepted", out)
        self.assertLess(usage.ru_maxrss, 48 << 10, "KiB")


if __name__ == "__main__":
    unittest.main()

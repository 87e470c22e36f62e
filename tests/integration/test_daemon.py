"""postriderd as a program: start, limits, hostile clients, log, end."""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from harness import DEADLINE_S, binary, wait_until
from service import BACKEND, PASSWORD, Daemon, Service, mail, spool

# A relay that nobody answers: what these tests look at happens before it.
NO_RELAY = ('relays = ( { name = "main"; url = "smtps://127.0.0.1:1"; } );\n'
            'shutdown = { drain = "500ms"; };\n')


def run(*arguments, config=None):
    """postriderd that is expected to end by itself."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "postrider.conf")
        if config is not None:
            pathlib.Path(path).write_text(config, encoding="utf-8")
            arguments = ("-c", path, *arguments)
        return subprocess.run([binary("postriderd"), *arguments],
                              capture_output=True, text=True,
                              timeout=DEADLINE_S, check=False)


def listening(directory):
    """The listeners of a config. A spool is spool(directory)."""
    return (f'listen = ( {{ type = "tcp"; port = 0; }},\n'
            f'           {{ type = "udp"; port = 0; }},\n'
            f'           {{ type = "unix"; path = "{directory}/sock"; }} );\n')


class Start(unittest.TestCase):
    def test_check_says_that_all_is_well(self):
        done = run("--check", config=NO_RELAY)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("no problem", done.stdout)

    def test_all_problems_at_once_with_file_and_line(self):
        done = run("--check", config='relays = ( { name = "main";\n'
                   'url = "smtps://127.0.0.1:1";\nconections = 4; } );\n'
                   'queue = { capacity = 0; };\n')
        self.assertEqual(done.returncode, 78)
        self.assertRegex(done.stderr, r"postrider\.conf:3: .*conections")
        self.assertRegex(done.stderr, r"postrider\.conf:4: .*capacity")

    def test_usage_is_64(self):
        self.assertEqual(run("--nonsense").returncode, 64)
        self.assertEqual(run("more").returncode, 64)

    def test_a_missing_config_is_named(self):
        done = run("-c", "/nonexistent/postrider.conf")
        self.assertEqual(done.returncode, 78)
        self.assertEqual(done.stderr, "/nonexistent/postrider.conf: cannot "
                         "open: No such file or directory\n")

    def test_help_tells_the_exit_status(self):
        done = run("--help")
        self.assertEqual(done.returncode, 0)
        for status in ("0", "64", "69", "78"):
            self.assertRegex(done.stdout, rf"(?m)^ +{status} +\S")

    def test_a_port_in_use_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            done = run(config='listen = ( { type = "tcp"; port = '
                       f'{port}; }} );\n' + NO_RELAY)
        self.assertEqual(done.returncode, 69)
        self.assertIn(f"127.0.0.1:{port}", done.stderr)

    def test_a_listener_for_the_world_needs_the_word_insecure(self):
        world = ('listen = ( { type = "tcp"; address = "0.0.0.0"; port = 0; '
                 '%s } );\n' + NO_RELAY)
        done = run("--check", config=world % "")
        self.assertEqual(done.returncode, 78)
        self.assertIn("insecure", done.stderr)
        done = run("--check", config=world % "insecure = true;")
        self.assertEqual(done.returncode, 0)

    def test_a_stale_socket_is_replaced_and_a_live_one_is_not(self):
        with tempfile.TemporaryDirectory() as directory:
            config = listening(directory) + NO_RELAY + spool(directory)
            path = os.path.join(directory, "sock")
            stale = socket.socket(socket.AF_UNIX)
            stale.bind(path)
            stale.close()
            with Daemon(config, directory) as first:
                with first.unix() as client:
                    self.assertTrue(client.ask({"op": "ping"})["ok"])
                done = subprocess.run(
                    [binary("postriderd"), "-c", first.path], text=True,
                    capture_output=True, timeout=DEADLINE_S, check=False)
                self.assertEqual(done.returncode, 69)
                self.assertIn(path, done.stderr)
                with first.unix() as client:
                    self.assertTrue(client.ask({"op": "ping"})["ok"])
            self.assertFalse(os.path.exists(path))

    def test_a_file_at_the_sockets_path_is_left_alone(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "sock")
            path.write_text("mine", encoding="utf-8")
            done = run(config=listening(directory) + NO_RELAY +
                       spool(directory))
            self.assertEqual(done.returncode, 69)
            self.assertEqual(path.read_text(encoding="utf-8"), "mine")

    def test_the_directory_of_the_socket_is_made(self):
        with tempfile.TemporaryDirectory() as directory:
            made = os.path.join(directory, "run")
            with Daemon(listening(made) + NO_RELAY + spool(directory),
                        directory) as daemon:
                self.assertEqual(os.stat(made).st_mode & 0o7777, 0o755)
                with daemon.unix() as client:
                    self.assertTrue(client.ask({"op": "ping"})["ok"])

    def test_a_directory_that_cannot_be_made_is_named(self):
        with tempfile.TemporaryDirectory() as directory:
            missing = os.path.join(directory, "no", "run")
            done = run(config=listening(missing) + NO_RELAY)
            self.assertEqual(done.returncode, 69)
            self.assertRegex(done.stderr, f"the directory {missing} .*is "
                             "missing: make it")
            self.assertEqual(os.listdir(directory), [])
        done = run(config=listening("/proc/postrider") + NO_RELAY)
        self.assertEqual(done.returncode, 69)
        self.assertRegex(done.stderr, "the directory /proc/postrider .*is "
                         "missing: make it")


@unittest.skipUnless(os.geteuid() == 0, "only root can be somebody else")
class Others(unittest.TestCase):
    """A client of the Unix socket that is neither root nor the daemon."""

    def ask(self, path, request):
        client = ("import socket, sys\n"
                  "s = socket.socket(socket.AF_UNIX)\n"
                  "s.settimeout(20)\n"
                  "s.connect(sys.argv[1])\n"
                  "s.sendall(sys.argv[2].encode() + b'\\n')\n"
                  "print(s.makefile().readline())\n")
        done = subprocess.run(
            ["/usr/bin/python3", "-c", client, path, json.dumps(request)],
            user=65534, group=65534, extra_groups=[], cwd="/", check=True,
            capture_output=True, text=True, timeout=DEADLINE_S)
        return json.loads(done.stdout)

    def test_another_users_jobs_are_not_found(self):
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            path = os.path.join(directory, "sock")
            config = (f'listen = ( {{ type = "unix"; path = "{path}"; '
                      'mode = "0666"; } );\n' + NO_RELAY + spool(directory))
            with Daemon(config, directory) as daemon:
                with daemon.unix() as root:
                    hidden = root.ask(mail())["id"]
                    own = self.ask(path, mail())["id"]
                    for op in ("status", "wait", "cancel"):
                        refused = self.ask(path, {"op": op, "id": hidden})
                        self.assertEqual(refused.get("error"), "not_found", op)
                    for op in ("status", "cancel"):
                        self.assertTrue(self.ask(path, {"op": op,
                                                        "id": own})["ok"], op)
                    self.assertTrue(root.ask({"op": "status",
                                              "id": own})["ok"])


class Limits(unittest.TestCase):
    """Full is a clear answer, never growth."""

    def start(self, config, more=""):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        daemon = Daemon(listening(directory.name) + NO_RELAY + config +
                        spool(directory.name, more), directory.name)
        self.addCleanup(daemon.stop)
        return daemon

    def test_a_full_spool_answers_after_a_bounded_wait(self):
        daemon = self.start('limits = { full_wait = "200ms"; };\n',
                            "max_jobs = 2;")
        with daemon.tcp() as client, daemon.udp() as datagram:
            for _ in range(2):
                self.assertTrue(client.ask(mail())["ok"])
            start = time.monotonic()
            refused = client.ask(mail())
            waited = time.monotonic() - start
            self.assertEqual((refused["error"], refused["retry"]),
                             ("spool_full", True))
            # The daemon counts in whole milliseconds.
            self.assertGreaterEqual(waited, 0.198)
            at_once = datagram.ask(mail())
            self.assertEqual((at_once["error"], at_once["retry"]),
                             ("spool_full", True))
            self.assertEqual(daemon.stats()["ledger"]["accepted"], 2)

    def test_room_that_comes_in_time_is_used(self):
        daemon = self.start('limits = { full_wait = "20s"; };\n',
                            "max_jobs = 1;")
        with daemon.tcp() as first, daemon.tcp() as second:
            job = first.ask(mail())["id"]
            second.send(mail())
            cancelled = first.ask({"op": "cancel", "id": job})
            self.assertTrue(cancelled["ok"], cancelled)
            self.assertTrue(second.reply()["ok"])

    def test_too_many_connections(self):
        daemon = self.start("limits = { connections = 3; };\n")
        clients = [daemon.tcp() for _ in range(3)]
        for client in clients:
            self.assertTrue(client.ask({"op": "ping"})["ok"])
        with daemon.tcp() as extra:
            self.assertEqual(extra.file.readline()[:1] in (b"{", b""), True)
            self.assertEqual(extra.file.read(), b"")
        clients.pop().__exit__()
        def again():
            try:
                with daemon.tcp() as client:
                    return client.ask({"op": "ping"})["ok"]
            except (AssertionError, OSError, KeyError):
                return False
        wait_until(again, "a place for another connection")
        for client in clients:
            client.__exit__()

    def test_a_frame_over_the_limit(self):
        daemon = self.start('limits = { frame = "64K"; message = "64K"; };\n')
        for framing in ("lines", "length"):
            with daemon.tcp(framing) as client:
                refused = client.ask(mail(text="x" * 70000))
                self.assertEqual(refused["error"], "too_large")
                self.assertEqual(client.file.read(), b"")


class Hostile(unittest.TestCase):
    """Nobody harms anybody else."""

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.daemon = Daemon(listening(self.directory.name) + NO_RELAY +
                             spool(self.directory.name) +
                             'limits = { idle = "1s"; connections = 200; };\n',
                             self.directory.name)
        self.addCleanup(self.daemon.stop)

    def others_are_served(self):
        with self.daemon.tcp() as client:
            self.assertTrue(client.ask({"op": "ping"})["ok"])

    def test_garbage(self):
        for data in (b"\x00\x00\x00\x05hello", b"\xff" * 1000, b"{" * 5000,
                     b"{}\n" * 100, b'{"op":"submit"' + b" " * 10000 + b"\n",
                     b"GET / HTTP/1.1\r\n\r\n", b"{\xc3\x28}\n",
                     os.urandom(5000)):
            with self.daemon.tcp() as client:
                client.socket.sendall(data)
                self.others_are_served()

    def test_invalid_json_in_a_line_is_answered_and_the_connection_goes_on(
            self):
        with self.daemon.tcp() as client:
            client.socket.sendall(b'{"op":\n')
            self.assertEqual(client.reply()["error"], "bad_json")
            self.assertTrue(client.ask({"op": "ping"})["ok"])

    def test_another_protocol_is_told_what_the_first_byte_must_be(self):
        for data in (b"GET / HTTP/1.1\r\n\r\n", b' {"op":"ping"}\n', b"\n",
                     b'[{"op":"ping"}]\n', b"hello\n", b"EHLO me\r\n"):
            with self.daemon.tcp() as client:
                client.socket.sendall(data)
                refused = client.reply()
                self.assertEqual(refused["error"], "bad_frame", data)
                self.assertIn("first byte must be {", refused["message"])
                self.assertEqual(client.file.read(), b"")
        with self.daemon.tcp() as client:
            client.socket.sendall(b"hi")
            client.socket.shutdown(socket.SHUT_WR)
            self.assertIn("first byte must be {", client.reply()["message"])

    def test_half_a_frame_is_not_waited_for_for_ever(self):
        with self.daemon.tcp() as client:
            client.socket.sendall(b'{"op":"pi')
            self.others_are_served()
            rest = client.file.read()
        self.assertIn(rest[:1], (b"", b"{"))

    def test_a_client_that_never_reads_is_cut_off(self):
        client = self.daemon.tcp()
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.socket.settimeout(DEADLINE_S)
        line = b'{"op":"stats"}\n' * 1000
        with self.assertRaises((ConnectionError, BrokenPipeError)):
            for _ in range(100000):
                client.socket.sendall(line)
        client.__exit__()
        self.others_are_served()

    def test_a_hundred_silent_ones_and_memory_stays_small(self):
        silent = [self.daemon.tcp() for _ in range(100)]
        for client in silent:
            # Announces 32 MiB and sends a little of it.
            client.socket.sendall(b"\x01\xff\xff\xff" + b"x" * 10000)
        self.others_are_served()
        status = pathlib.Path(f"/proc/{self.daemon.pid}/status").read_text()
        rss_kib = int(re.search(r"VmRSS:\s+(\d+)", status).group(1))
        if not os.environ.get("POSTRIDER_SANITIZE"):
            self.assertLess(rss_kib, 64 * 1024)
        for client in silent:
            client.__exit__()

    def test_datagrams_of_garbage(self):
        with self.daemon.udp() as client:
            for data in (b"", b"x", b"{", os.urandom(2000), b"x" * 60000):
                client.socket.send(data)
            client.socket.send(json.dumps({"op": "ping",
                                           "ref": "me"}).encode())
            for _ in range(6):
                answer = json.loads(client.socket.recv(65535))
                if answer.get("ref") == "me":
                    break
            self.assertTrue(answer["ok"])


class Log(unittest.TestCase):
    def test_no_secret_and_no_content_is_ever_logged(self):
        with Service(config='log = { level = "debug"; };') as service:
            with service.tcp() as client:
                job = client.ask(mail(subject="subject-not-for-the-log",
                                      text="body-not-for-the-log"))["id"]
                service.settled(job)
            service.daemon.stop()
            log = service.log()
            self.assertIn(job, log)
            for secret in (PASSWORD, "very-secret", "not-for-the-log"):
                self.assertNotIn(secret, log)

    def test_each_event_is_one_line_of_keys_and_values(self):
        with Service() as service:
            with service.tcp() as client:
                job = client.ask(mail())["id"]
                service.settled(job)
            service.daemon.stop()
            for line in service.daemon.written["stderr"]:
                self.assertRegex(line, r'^\S+ (error|warning|info|debug) '
                                 r'event=[a-z_.]+( [a-z_0-9]+=("(\\.|[^"\\])*"'
                                 r'|[^ "]+))*$')
            events = [re.search(r"event=(\S+)", line).group(1) for line in
                      service.daemon.written["stderr"] if f"job={job}" in line]
            self.assertEqual(events, ["job.accepted", "job.delivered"])

    def test_ready_and_warnings_of_the_configuration_come_at_any_level(self):
        config = ('log = { level = "error"; };\n'
                  'relays = ( { name = "r"; url = "smtps://127.0.0.1:1"; '
                  'verify = false; } );\n')
        with tempfile.TemporaryDirectory() as directory:
            text = listening(directory) + spool(directory) + config
            with Daemon(text, directory) as daemon:
                self.assertIn(" info event=ready ", daemon.ready_line)
                warnings = daemon.written["stderr"][:-1]
            line = text[:text.index("relays")].count("\n") + 1
            self.assertEqual(len(warnings), 1)
            self.assertRegex(warnings[0], r'^\S+ warning event=config\.warning '
                             rf'text="{re.escape(daemon.path)}:{line}: .*\br\b')
        done = run("--check", config='listen = ( { type = "tcp"; port '
                   '= 0; } );\n' + config)
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"(?m)^warning: \S+:\d+: .*\br\b")


class End(unittest.TestCase):
    def test_sigterm_loses_nothing_that_was_accepted(self):
        with Service(sink=["--latency", "20"], relay="connections = 2;",
                     config='shutdown = { drain = "15s"; };') as service:
            with service.tcp() as client:
                answers = client.ask_all([mail(subject=str(n))
                                          for n in range(40)])
            self.assertTrue(all(a["ok"] for a in answers))
            self.assertEqual(service.daemon.stop(), 0)
            self.assertIn("event=stopped", service.log())
            if BACKEND == "sqlite":
                # What was not under way waits on disk.
                service.restart()
                for answer in answers:
                    self.assertEqual(service.settled(answer["id"])["state"],
                                     "delivered")
            summary = service.sink.summary()
            self.assertEqual((summary["messages"], summary["duplicates"]),
                             (40, 0))

    def test_new_work_is_refused_while_draining(self):
        with Service(sink=["--fault", "final:delay=1s"]) as service:
            with service.tcp() as client:
                job = client.ask(mail())["id"]
                wait_until(lambda: service.status(job)["state"] == "active",
                           "the attempt")
                service.daemon.send(signal.SIGTERM)
                service.wait_log("event=draining")
                refused = client.ask(mail())
                self.assertEqual((refused["error"], refused["retry"]),
                                 ("shutting_down", True))
            self.assertEqual(service.daemon.stop(), 0)
            self.assertEqual(service.sink.summary()["messages"], 1)

    def test_the_deadline_of_the_drain_holds(self):
        with Service(sink=["--fault", "final:stall"],
                     config='shutdown = { drain = "300ms"; };') as service:
            with service.tcp() as client:
                job = client.ask(mail())["id"]
                wait_until(lambda: service.status(job)["state"] == "active",
                           "the attempt")
            start = time.monotonic()
            self.assertEqual(service.daemon.stop(), 0)
            self.assertLess(time.monotonic() - start, 10)
            if BACKEND == "memory":
                self.assertIn("event=daemon.jobs_lost", service.log())
                self.assertIn(f"event=job.lost job={job}", service.log())

    def test_a_second_sigterm_ends_at_once(self):
        with Service(sink=["--fault", "final:stall"]) as service:
            with service.tcp() as client:
                job = client.ask(mail())["id"]
                wait_until(lambda: service.status(job)["state"] == "active",
                           "the attempt")
            service.daemon.send(signal.SIGTERM)
            service.wait_log("event=draining")
            start = time.monotonic()
            self.assertEqual(service.daemon.stop(), 0)
            self.assertLess(time.monotonic() - start, 10)


if __name__ == "__main__":
    unittest.main()

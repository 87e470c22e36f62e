"""Delivery to an SMTP server that is not ours: aiosmtpd, TLS and AUTH."""

import asyncio
import os
import pathlib
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest

from aiosmtpd.smtp import SMTP, AuthResult

from service import Daemon, mail, relay_text, spool


class Mailbox:
    """What the server accepted: envelope and content."""

    def __init__(self):
        self.received = []

    async def handle_RCPT(self, _server, _session, envelope, address,
                          options):
        if address.startswith("refused@"):
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 fine"

    async def handle_DATA(self, _server, session, envelope):
        self.received.append((envelope.mail_from, list(envelope.rcpt_tos),
                              envelope.original_content,
                              session.auth_data))
        return "250 2.0.0 taken"


def authenticate(_server, _session, _envelope, mechanism, data):
    good = (mechanism in ("PLAIN", "LOGIN") and data.login == b"app"
            and data.password == b"secret")
    return AuthResult(success=good, auth_data=mechanism if good else None)


class Server:
    """aiosmtpd on a free port, smtps or with STARTTLS."""

    def __init__(self, directory, implicit, mechanisms=None):
        self.mailbox = Mailbox()
        self.ca = os.path.join(directory, "cert.pem")
        key = os.path.join(directory, "key.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
             self.ca, "-days", "2", "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost,IP:127.0.0.1"],
            check=True, capture_output=True, timeout=60)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca, key)
        options = {"require_starttls": True, "tls_context": context}
        exclude = [m for m in ("PLAIN", "LOGIN")
                   if mechanisms and m not in mechanisms]
        self.loop = asyncio.new_event_loop()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()

        def session():
            return SMTP(self.mailbox, authenticator=authenticate,
                        auth_required=True, auth_exclude_mechanism=exclude,
                        auth_require_tls=not implicit, loop=self.loop,
                        **({} if implicit else options))

        async def serve():
            self.server = await self.loop.create_server(
                session, sock=self.listener,
                ssl=context if implicit else None)
        self.loop.run_until_complete(serve())
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)
        self.server.close()
        self.loop.close()


class ForeignServer(unittest.TestCase):
    def deliver(self, implicit, mechanisms=None):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        server = Server(directory.name, implicit, mechanisms)
        self.addCleanup(server.stop)
        password = pathlib.Path(directory.name, "password")
        password.write_text("secret", encoding="utf-8")
        password.chmod(0o600)
        relay = relay_text(
            "main", "smtps" if implicit else "starttls", server.address,
            f'username = "app"; password_file = "{password}"; '
            f'ca_file = "{server.ca}";')
        daemon = Daemon(f"""
listen = ( {{ type = "tcp"; port = 0; }},
           {{ type = "unix"; path = "{directory.name}/sock"; }} );
relays = ( {relay} );
{spool(directory.name)}
""", directory.name)
        self.addCleanup(daemon.stop)
        text = "Grüße\n.\n..dots\n" + "x" * 2000 + "\n"
        with daemon.tcp() as client:
            answers = client.ask_all(
                [mail(subject=f"number {n}", text=text,
                      to=["ann@example.net", "refused@example.net"])
                 for n in range(20)])
        for answer in answers:
            status = daemon.settled(answer["id"])
            self.assertEqual([r["state"] for r in status["recipients"]],
                             ["delivered", "failed"])
            self.assertIn("no such user", status["recipients"][1]["reply"])
        self.assertEqual(len(server.mailbox.received), 20)
        for sender, recipients, content, _auth in server.mailbox.received:
            self.assertEqual(sender, "shop@example.org")
            self.assertEqual(recipients, ["ann@example.net"])
            self.assertIn(b"dots", content)
            self.assertTrue(content.endswith(b"\r\n"))
        return {auth for *_, auth in server.mailbox.received}

    def test_smtps_with_auth(self):
        self.assertEqual(self.deliver(implicit=True), {"PLAIN"})

    def test_starttls_with_auth_login(self):
        self.assertEqual(self.deliver(implicit=False, mechanisms=["LOGIN"]),
                         {"LOGIN"})


if __name__ == "__main__":
    unittest.main()

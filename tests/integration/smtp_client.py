"""A raw SMTP client for tests of a server: bytes as they are, a deadline on
every read."""
import socket


class Closed(Exception):
    """The server closed the connection (or reset it)."""


class Client:
    """One connection; tls: a context to begin TLS with at once."""

    def __init__(self, address, tls=None, timeout_s=10, greeting=True,
                 name="localhost"):
        self.socket = socket.create_connection(address, timeout=timeout_s)
        self.buffer = b""
        self.name = name
        try:
            if tls is not None:
                self.start_tls(tls)
            self.greeting = self.reply() if greeting else None
        except BaseException:
            self.socket.close()
            raise

    def start_tls(self, context, session=None):
        self.socket = context.wrap_socket(
            self.socket, server_hostname=self.name, session=session)

    def send(self, data):
        if isinstance(data, str):
            data = data.encode()
        self.socket.sendall(data)

    def line(self):
        while b"\n" not in self.buffer:
            try:
                more = self.socket.recv(65536)
            except (ConnectionResetError, BrokenPipeError) as error:
                raise Closed(repr(self.buffer)) from error
            if not more:
                raise Closed(repr(self.buffer))
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode() + "\n"

    def reply(self):
        """All lines of one reply, CRLF taken off, joined by LF."""
        lines = []
        while True:
            line = self.line()
            assert line.endswith("\r\n"), line
            lines.append(line[:-2])
            if line[3:4] != "-":
                return "\n".join(lines)

    def command(self, text):
        self.send(text + "\r\n")
        return self.reply()

    def commands(self, *texts):
        """One at a time; the codes."""
        return [self.command(text)[:3] for text in texts]

    def ehlo(self):
        """The extensions' keywords and their parameters."""
        lines = self.command("EHLO client.test").split("\n")
        assert lines[0][:3] == "250", lines
        return {line[4:].split(" ")[0]: line[4:].split(" ")[1:]
                for line in lines[1:]}

    def mail(self, sender="a@x.test", recipients=("b@y.test",)):
        replies = [self.command(f"MAIL FROM:<{sender}>")]
        replies += [self.command(f"RCPT TO:<{to}>") for to in recipients]
        return [reply[:3] for reply in replies]

    def data(self, content):
        """DATA, the content as it stands and the final dot; the reply."""
        assert self.command("DATA")[:3] == "354"
        if isinstance(content, str):
            content = content.encode()
        self.send(content + b".\r\n")
        return self.reply()

    def deliver(self, content="Subject: x\r\n\r\nhi\r\n", **envelope):
        codes = self.mail(**envelope)
        assert set(codes) == {"250"}, codes
        return self.data(content)

    def rest(self):
        """What comes until the server closes."""
        data, self.buffer = self.buffer, b""
        while True:
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError as error:
                raise Closed(repr(data)) from error
            if not more:
                return data
            data += more

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
        return False

"""Servers on this machine that take what is sent to people."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


@contextmanager
def http_receiver(answer: int = 200, headers: Mapping[str, str] = {}) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Address and what was posted to it."""
    taken: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(answer)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with _serving(HTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield f"http://127.0.0.1:{port}/", taken


@contextmanager
def mail_receiver() -> Iterator[tuple[str, list[str]]]:
    """Address and the mails, each with its envelope."""
    mails: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 here")
            envelope: list[str] = []
            while text := self.rfile.readline().decode().strip():
                word = text.split()[0].upper()
                if word in ("MAIL", "RCPT"):
                    envelope.append(text)
                if word == "DATA":
                    self.say("354 go on")
                    body = iter(lambda: self.rfile.readline().decode(), ".\r\n")
                    mails.append("\n".join(envelope) + "\n" + "".join(body))
                self.say("221 bye" if word == "QUIT" else "250 ok")
                if word == "QUIT":
                    return

        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with _serving(socketserver.TCPServer(("127.0.0.1", 0), Handler)) as port:
        yield f"smtp://127.0.0.1:{port}", mails


@contextmanager
def _serving(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

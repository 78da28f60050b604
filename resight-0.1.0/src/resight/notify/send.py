"""The ways to people: a webhook, e-mail, chats, a command. One that fails says why and keeps no other from being tried."""

from __future__ import annotations

import json
import os
import smtplib
import ssl
import subprocess
import urllib.request
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from resight.errors import SettingsError
from resight.notify.params import NotifyParams, secret

LONGEST_S = 20.0  # for one message on one way
PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
Message = Mapping[str, Any]  # title, text, event, and what else programs may want


def send(params: NotifyParams, message: Message) -> dict[str, str]:
    """Send one message on every way that is set.

    Args:
        params: Which ways.
        message: ``title`` and ``text`` for people; the whole for programs, as JSON.

    Returns:
        By way, '' where it was taken, else why not.
    """
    ways: dict[str, Callable[[NotifyParams, Message], None]] = {
        "webhook": _webhook, "e-mail": _email, "chat": _chat, "command": _command,
    }  # fmt: skip
    return {name: _tried(ways[name], params, message) for name in params.ways}


def _tried(way: Callable[[NotifyParams, Message], None], params: NotifyParams, message: Message) -> str:
    try:
        way(params, message)
    except Exception as error:  # of a library, a server or a program of somebody else: no night may fail by it
        text = str(error) if isinstance(error, SettingsError) else f"{type(error).__name__}: {error}"
        return " ".join(text.split()) or type(error).__name__
    return ""


def _webhook(params: NotifyParams, message: Message) -> None:
    address = secret(params.webhook, "webhook")
    if not _is_plain(address):
        raise SettingsError(
            "notify.webhook is no address of the form https://HOST/PATH: without spaces, letters beyond ASCII, and name and password before the host."
        )
    headers = {"Content-Type": "application/json", "User-Agent": "resight"}
    request = urllib.request.Request(address, _json(message), headers, method="POST")
    with urllib.request.build_opener(_NoOtherAddress).open(request, timeout=LONGEST_S):
        pass  # an answer of 300 or more is an error


class _NoOtherAddress(urllib.request.HTTPRedirectHandler):
    """Follows no answer that names another address: that would ask for it without the message, and take the page for an agreement."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _is_plain(address: str) -> bool:
    """Whether the address is one that can be opened as it is; what opens it would repeat its parts in errors, and they may be secret."""
    try:
        parts = urlsplit(address)
        has_host = bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
    plain = address.isascii() and address.isprintable() and " " not in address
    return parts.scheme in ("http", "https") and has_host and "@" not in parts.netloc and plain


def _email(params: NotifyParams, message: Message) -> None:
    server, port = _mail_server(params.smtp)
    mail = EmailMessage()
    mail["Subject"], mail["From"] = message["title"], params.email_from or params.email_to[0]
    mail["To"] = ", ".join(params.email_to)
    mail.set_content(f"{message['text']}\n\n{message.get('link') or ''}\n")
    where = (str(server.hostname), port)
    if server.scheme == "smtps":
        opened: smtplib.SMTP = smtplib.SMTP_SSL(*where, timeout=LONGEST_S, context=ssl.create_default_context())
    else:
        opened = smtplib.SMTP(*where, timeout=LONGEST_S)
    with opened as smtp:
        if server.scheme == "smtp+starttls":
            smtp.starttls(context=ssl.create_default_context())
        if server.username:
            smtp.login(unquote(server.username), _password(params.smtp_password))
        refused = smtp.send_message(mail)
    if refused:
        raise SettingsError(f"the mail server refused {', '.join(refused)}")


def _mail_server(address: str) -> tuple[SplitResult, int]:
    """The server and its port; what is wrong is said without the address, which may hold a password."""
    try:
        server = urlsplit(address)
        port = server.port or PORTS.get(server.scheme, 0)
    except ValueError:
        server, port = SplitResult("", "", "", "", ""), 0
    if server.scheme not in PORTS or not server.hostname:
        raise SettingsError(f"notify.smtp is none of {', '.join(f'{name}://HOST:PORT' for name in PORTS)}.")
    return server, port


def _password(text: str) -> str:
    if not text.startswith(("file:", "env:")):
        raise SettingsError("notify.smtp_password must be file:PATH or env:NAME: settings are kept with every run.")
    return secret(text, "smtp_password")


def _chat(params: NotifyParams, message: Message) -> None:
    import apprise

    wrong = []
    for number, given in enumerate(params.chat, 1):
        chats = apprise.Apprise()
        if not chats.add(secret(given, "chat")):
            wrong.append(f"address {number} of notify.chat is none that Apprise knows")
            continue
        with apprise.LogCapture(level=apprise.logging.WARNING) as told:  # type: ignore[no-untyped-call]
            taken = chats.notify(body=_with_link(message), title=str(message["title"]))
            why = " ".join(told.getvalue().split())
        if not taken:
            wrong.append(f"address {number} of notify.chat did not take it{f' ({why})' if why else ''}")
    if wrong:
        raise SettingsError("; ".join(wrong))


def _command(params: NotifyParams, message: Message) -> None:
    env = os.environ | {"RESIGHT_EVENT": str(message["event"]), "RESIGHT_TEXT": str(message["text"])}
    ended = subprocess.run(
        params.command, input=_json(message), env=env, capture_output=True, timeout=LONGEST_S, check=False
    )
    if ended.returncode:
        said = ended.stderr.decode("utf-8", "replace").strip()[-200:]
        raise SettingsError(f"{params.command[0]} ended with {ended.returncode}{f': {said}' if said else ''}")


def _with_link(message: Message) -> str:
    return "\n".join(str(message[name]) for name in ("text", "link") if message.get(name))


def _json(message: Message) -> bytes:
    return json.dumps(message, default=str).encode()

"""Settings of the notifications."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from resight.errors import SettingsError
from resight.plugins.params import Affects, Params


class Kind(StrEnum):
    """What people can be told of."""

    DONE = "done"
    FAILED = "failed"
    MISSING = "missing"
    KEPT_ASIDE = "kept_aside"
    WORSE = "worse"
    REFUSED = "refused"
    DISK = "disk"
    MET_AGAIN = "met_again"


class NotifyParams(Params):
    """Who is told what, and how; nobody unless a webhook, e-mail, a chat or a command is set."""

    affects: ClassVar[Affects] = "execution"

    events: tuple[Kind, ...] = Field(
        tuple(Kind),
        description="what is told: done (a night), failed, missing (`resight status --missing-after`), kept_aside, worse (accuracy, "
        "beyond chance), refused (a new model), disk (nearly full), met_again (an animal that was not seen for years)",
    )
    webhook: str = Field(
        "",
        description="address that gets a JSON object for each event; file:PATH or env:NAME keeps it out of this file",
    )
    chat: tuple[str, ...] = Field(
        (),
        description="addresses as the library Apprise has them (slack://…, tgram://…, ntfy://…), each also as file:PATH or env:NAME",
    )
    email_to: tuple[str, ...] = Field((), description="e-mail addresses")
    email_from: str = Field("", description="sender of the e-mails; the first recipient if empty")
    smtp: str = Field(
        "smtp://localhost:25",
        description="mail server: smtp://, smtp+starttls:// or smtps://, with a name where one is asked for: smtps://NAME@HOST:PORT",
    )
    smtp_password: str = Field("", description="password as file:PATH or env:NAME, never itself")
    command: tuple[str, ...] = Field(
        (), description="program and arguments that get the JSON object of each event on standard input"
    )
    disk_free_gb: float = Field(10.0, ge=0, description="less free space than this, in gigabytes, is told (disk)")
    years: float = Field(2.0, gt=0, description="an animal that was not seen for so many years is told (met_again)")

    @property
    def ways(self) -> list[str]:
        """Which ways are set."""
        ways = {"webhook": self.webhook, "e-mail": self.email_to, "chat": self.chat, "command": self.command}
        return [name for name, value in ways.items() if value]


def secret(text: str, what: str) -> str:
    """What ``file:PATH`` or ``env:NAME`` stands for; other texts stand for themselves.

    Raises:
        SettingsError: There is no such file or variable.
    """
    how, _, name = text.partition(":")
    if how == "env":
        if name not in os.environ:
            raise SettingsError(
                f"notify.{what} = '{text}': there is no environment variable {name}; set it, or correct the name."
            )
        return os.environ[name]
    if how == "file":
        try:
            return Path(name).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"notify.{what} = '{text}' cannot be read ({error}); correct the path or its mode."
            ) from None
    return text

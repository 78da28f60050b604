"""People are told: what is said of which event, and every way against a server of its own on this machine."""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from receivers import http_receiver, mail_receiver
from typer.testing import CliRunner

from resight.bucket.objects import BucketError
from resight.cli.app import app
from resight.errors import SettingsError
from resight.evaluate.worse import worse_metrics
from resight.notify.events import Event, met_again, night_done, night_missing
from resight.notify.params import Kind, NotifyParams, secret
from resight.notify.send import send
from resight.run.models import Model, register
from resight.run.telling import attempted, notify_params, tell
from resight.store.attempts import log_lines
from resight.store.tables import conform
from resight.store.workspace import Workspace

MESSAGE = {"event": "done", "title": "Resight zante: done", "text": "Night 2026-06-04: 3 likely", "run_id": "r"}
NOWHERE = "http://127.0.0.1:9/"  # the discard port, on which nobody listens


def photos(*rows: tuple[str, str | None, date | None, str]) -> Any:
    """encounter, animal, day, first night"""
    keys = ("encounter_id", "individual_id", "taken_on", "first_night")
    common = {
        "uri": "u",
        "uris": ["u"],
        "n_files": 1,
        "encounter_source": "metadata",
        "viewpoint": "left",
        "status": "ok",
    }
    made = [common | {"photo_id": str(i)} | dict(zip(keys, row, strict=True)) for i, row in enumerate(rows)]
    for row in made:
        row["first_night"] = date.fromisoformat(row["first_night"])
    return conform("photos", made, "r")


def verdicts(*rows: tuple[str, str, str | None]) -> Any:
    common = {
        "n_photos": 1,
        "n_photos_compared": 1,
        "n_calibration": 0,
        "method": "m",
        "evidence": "e",
        "probability": 0.8,
        "status": "ok",
    }
    keys = ("encounter_id", "decision", "individual_id")
    return conform("novelty", [common | dict(zip(keys, row, strict=True)) for row in rows], "r")


def test_a_webhook_gets_the_event_as_json() -> None:
    with http_receiver() as (address, taken):
        assert send(NotifyParams(webhook=address), MESSAGE) == {"webhook": ""}
    assert taken == [MESSAGE]


def test_an_e_mail_has_sender_recipients_subject_and_text() -> None:
    with mail_receiver() as (address, mails):
        params = NotifyParams(
            email_to=("ann@example.org", "bo@example.org"), email_from="resight@example.org", smtp=address
        )
        assert send(params, MESSAGE | {"link": "http://server/report"}) == {"e-mail": ""}
    (mail,) = mails
    for text in (
        "FROM:<resight@example.org>",
        "TO:<ann@example.org>",
        "TO:<bo@example.org>",
        "Subject: Resight zante: done",
    ):
        assert text in mail
    assert "3 likely" in mail and "http://server/report" in mail


def test_a_chat_is_reached_through_apprise() -> None:
    with http_receiver() as (address, taken):
        chat = address.replace("http://", "json://")
        assert send(NotifyParams(chat=(chat,)), MESSAGE) == {"chat": ""}
    assert taken[0]["title"] == MESSAGE["title"] and MESSAGE["text"] in taken[0]["message"]
    answers = send(NotifyParams(chat=("nonsense", NOWHERE.replace("http://", "json://"))), MESSAGE)
    assert (
        "address 1 of notify.chat is none" in answers["chat"] and "address 2 of notify.chat did not" in answers["chat"]
    )


def test_a_command_reads_the_event_from_standard_input(tmp_path: Path) -> None:
    out = tmp_path / "taken.json"
    program = f"import os, sys; open({str(out)!r}, 'w').write(sys.stdin.read() + os.environ['RESIGHT_EVENT'])"
    assert send(NotifyParams(command=(sys.executable, "-c", program)), MESSAGE) == {"command": ""}
    assert out.read_text() == json.dumps(MESSAGE) + "done"
    failing = NotifyParams(command=(sys.executable, "-c", "import sys; sys.exit('no pager')"))
    assert "ended with 1: no pager" in send(failing, MESSAGE)["command"]


def test_one_way_that_fails_keeps_no_other_from_being_tried() -> None:
    with http_receiver(500) as (address, _), mail_receiver() as (mail, mails):
        answers = send(NotifyParams(webhook=address, email_to=("a@b.org",), smtp=mail), MESSAGE)
    assert "500" in answers["webhook"] and answers["e-mail"] == "" and len(mails) == 1


def test_a_webhook_that_sends_on_elsewhere_has_not_taken_the_message() -> None:
    """Following it would ask the other address for a page and leave the message out."""
    with http_receiver(302, {"Location": "/there"}) as (address, taken):
        assert "302" in send(NotifyParams(webhook=address), MESSAGE)["webhook"]
    assert len(taken) == 1


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/TOKEN x", "http://ann:TOKEN@127.0.0.1:9/", "https:///TOKEN", "http://127.0.0.1:9/TOKENé", "http://[TOKEN/"])  # fmt: skip
def test_no_reason_repeats_an_address_that_holds_a_secret(address: str) -> None:
    (why,) = send(NotifyParams(webhook=address), MESSAGE).values()
    assert why and "TOKEN" not in why
    mail = NotifyParams(email_to=("a@b.org",), smtp=address.replace("9/", "x/"))
    assert "TOKEN" not in send(mail, MESSAGE)["e-mail"] != ""


def test_secrets_come_from_files_and_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hook").write_text("https://chat/token\n")
    monkeypatch.setenv("HOOK", "https://other")
    assert secret(f"file:{tmp_path}/hook", "webhook") == "https://chat/token"
    assert (secret("env:HOOK", "webhook"), secret("https://x", "webhook")) == ("https://other", "https://x")
    with pytest.raises(SettingsError, match="cannot be read"):
        secret(f"file:{tmp_path}/none", "webhook")
    with pytest.raises(SettingsError, match="no environment variable NONE"):
        secret("env:NONE", "chat")
    with mail_receiver() as (address, _):
        plain = NotifyParams(email_to=("a@b.org",), smtp=address.replace("//", "//u@"), smtp_password="in the clear")
        assert "must be file:PATH or env:NAME" in send(plain, MESSAGE)["e-mail"]


def test_a_night_in_one_line() -> None:
    table = photos(
        ("e1", None, None, "2026-06-04"), ("e2", None, None, "2026-06-04"), ("e3", None, None, "2026-06-03"), ("e4", "Leo", None, "2026-06-04"),
    )  # fmt: skip
    event = night_done(
        "2026-06-04", table, verdicts(("e1", "known", "Leo"), ("e2", "likely_new", "Leo"), ("e3", "unsure", "Leo"))
    )
    assert event.text == "Night 2026-06-04: 3 new photos: 1 likely, 1 new, 0 unsure; 2 encounters to look at."
    assert "no new photo; 0 encounters" in night_done("2026-06-05", table, verdicts()).text


def test_an_animal_that_was_not_seen_for_years() -> None:
    table = photos(
        ("old", "Leo", date(2021, 6, 1), "2026-06-04"), ("older", "Leo", date(2019, 6, 1), "2026-06-04"), ("last", "Mia", date(2026, 5, 1), "2026-06-04"),
        ("q1", None, date(2026, 6, 1), "2026-06-04"), ("q2", None, date(2026, 6, 1), "2026-06-04"), ("q3", None, date(2026, 6, 1), "2026-06-04"), ("q4", None, None, "2026-06-04"),
    )  # fmt: skip
    said = verdicts(("q1", "likely", "Leo"), ("q2", "known", "Mia"), ("q3", "unsure", "Leo"), ("q4", "likely", "Leo"))
    (event,) = met_again(table, said, years=2)
    assert event.facts == {
        "individual_id": "Leo",
        "encounter_id": "q1",
        "seen_on": "2026-06-01",
        "seen_before": "2021-06-01",
    }
    assert "after 5.0 years" in event.text and list(met_again(table, said, years=6)) == []


def test_worse_beyond_chance_is_a_sign_test_of_what_was_lost() -> None:
    row = {
        "metric": "top1_photo",
        "old_value": 0.9,
        "new_value": 0.8,
        "n_gained": 0,
        "n_lost": 6,
        "p_value_mcnemar": 0.03125,
    }
    assert worse_metrics([row]) == ["right at once per photo 80.0 % instead of 90.0 % (p = 0.031)"]
    assert worse_metrics([row | {"n_lost": 5, "p_value_mcnemar": 0.0625}]) == []
    assert worse_metrics([row | {"n_gained": 6, "n_lost": 0}]) == []
    assert worse_metrics([row | {"metric": "ece_mixed"}]) == []


def test_a_failure_is_told_even_if_the_settings_are_what_is_wrong(workspace: Workspace) -> None:
    with http_receiver() as (address, taken):
        settings = f"nonsense = 1\n[notify]\nwebhook = '{address}'\n"
        (workspace.root / "resight.toml").write_text(settings)
        with pytest.raises(SettingsError), attempted(workspace, "nightly", night="2026-06-04"):
            raise SettingsError("nonsense is no setting")
    assert taken[0]["event"] == "failed" and taken[0]["text"] == "nightly 2026-06-04 failed: nonsense is no setting"


def test_nobody_is_told_of_what_was_not_chosen_or_was_stopped(workspace: Workspace) -> None:
    with http_receiver() as (address, taken):
        (workspace.root / "resight.toml").write_text(f"[notify]\nwebhook = '{address}'\nevents = ['done']\n")
        with pytest.raises(SettingsError), attempted(workspace, "nightly"):
            raise SettingsError("no")
        with pytest.raises(KeyboardInterrupt), attempted(workspace, "nightly"):
            raise KeyboardInterrupt
    assert taken == []


def test_what_could_not_be_sent_is_said_and_fails_nothing(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    (workspace.root / "resight.toml").write_text(f"[notify]\nwebhook = '{NOWHERE}'\ndisk_free_gb = 1e9\n")
    with attempted(workspace, "rebuild") as tried:
        pass
    assert tried.exit_code == 0 and "Nobody could be told by webhook" in caplog.text
    assert any(line["event"] == "told" and "refused" in line["ways"]["webhook"] for line in log_lines(workspace))


def test_what_is_told_once_is_told_again_only_if_nobody_took_it(workspace: Workspace) -> None:
    event = night_missing(26, "2026-06-04")
    tell(workspace, [event], NotifyParams(webhook=NOWHERE))
    with http_receiver() as (address, taken):
        for _ in range(3):
            tell(workspace, [event], NotifyParams(webhook=address))
        tell(workspace, [Event(Kind.DONE, "x")], NotifyParams(webhook=address))
    assert [row["event"] for row in taken] == ["missing", "done"]


def test_a_wrong_section_is_refused_in_a_sentence(workspace: Workspace) -> None:
    (workspace.root / "resight.toml").write_text("[notify]\nwebook = 'x'\n")
    with pytest.raises(SettingsError, match="webhook"):
        notify_params(workspace)


def test_people_are_told_that_a_promoted_model_was_not_published(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object) -> None:
        raise BucketError("s3://turtles cannot be written.")

    part = {"extract": {"kind": "orb"}, "match": {"kind": "nearest"}, "score": {"name": "ratio"}}
    register(workspace, Model("0123456789abcdef", part, {}))
    monkeypatch.setattr("resight.bucket.publish.Objects", no_network)
    said = "is done, but: The results are complete here and were not published: s3://turtles cannot be written."
    with http_receiver() as (address, taken):
        settings = f"publish.to = 's3://turtles'\nnotify.webhook = '{address}'\n"
        (workspace.root / "resight.toml").write_text(settings, encoding="utf-8")
        by_hand = CliRunner().invoke(app, ["models", "promote", "0123", "-w", str(workspace.root)])
        with attempted(workspace, "rebuild") as tried:
            pass
    assert by_hand.exit_code == tried.exit_code == 0
    assert [(row["event"], row["text"]) for row in taken] == [
        ("failed", f"models promote {said}"),
        ("failed", f"rebuild {said}"),
    ]

"""Options that several commands share, and the headings of `resight --help`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from resight.store.workspace import checked_night


class Panel(StrEnum):
    """Headings of `resight --help`, in their order."""

    START = "Start"
    NIGHTS = "Every night"
    DECIDE = "Decide"
    LOOK = "Look"
    MEASURE = "Measure"
    MODELS = "Models and weights"
    TRAIN = "Train"


WorkspaceOption = Annotated[
    Path, Option("--workspace", "-w", help="Folder with resight.toml.", envvar="RESIGHT_WORKSPACE")
]
JsonOption = Annotated[bool, Option("--json", help="Print one JSON object and nothing else.")]
SetOption = Annotated[
    list[str] | None,
    Option("--set", help="Change one setting for this command, e.g. extract.max_keypoints=512; may be repeated."),
]
AcceptOption = Annotated[
    bool,
    Option(
        "--accept",
        help="Publish even if photos or names of known animals have been lost since the last night; it is recorded.",
    ),
]
NightOption = Annotated[
    str | None,
    Option(
        callback=lambda night: night and checked_night(night),
        help="Date of the run, e.g. 2026-06-04; today if not given.",
    ),
]
PlainOption = Annotated[
    bool, Option("--plain", help="Run without Prefect even where a Prefect server is set (PREFECT_API_URL).")
]
RecordOption = Annotated[
    bool,
    Option(
        "--record",
        help="Let Prefect record the run; where no server is set, one is started for it, which takes seconds.",
    ),
]
LabelledArgument = Annotated[Path, Argument(help="Labelled folder: photos, metadata.csv, outlines if there are any.")]
ProtocolOption = Annotated[
    str | None,
    Option(
        help="How queries are chosen: auto, time-aware, first-year, role or leave-one-encounter-out (evaluate.protocol)."
    ),
]
AskingOption = Annotated[
    Path | None,
    Option(help="List of the animals whose photos are queries, e.g. of `resight train split` (evaluate.asking)."),
]
AgainstOption = Annotated[
    str | None, Option(help="Earlier run to compare with, query by query: a run id, last or none (evaluate.against).")
]
ControlOption = Annotated[
    bool,
    Option(
        "--background-control",
        help="Match once more with the animals painted over, to see how much the background gives away.",
    ),
]
LeakOption = Annotated[
    bool,
    Option(
        "--tolerate-leak",
        help="Measure even if a query has gallery photos of the same animal and day; there is no headline then.",
    ),
]
HERE = Path()


def absolute(workspace: Path) -> str:
    """The workspace as an absolute path, as flows take it."""
    return str(workspace.expanduser().absolute())


def overrides(assignments: list[str] | None) -> dict[str, Any] | None:
    """What ``--set`` says, as nested settings."""
    from resight.settings import parse_assignments

    return parse_assignments(assignments) if assignments else None


def measuring_overrides(
    assignments: list[str] | None,
    protocol: str | None,
    against: str | None,
    control: bool,
    tolerate_leak: bool,
    asking: Path | None = None,
) -> dict[str, Any] | None:
    """What ``--set`` and the options of `accuracy`, `evaluate` and `compare` say, as nested settings."""
    file = None if asking is None else str(asking.expanduser().absolute())
    texts = {"protocol": protocol, "against": against, "asking": file}
    switches = {"background_control": control, "tolerate_leak": tolerate_leak}
    given = [f"evaluate.{key}={text}" for key, text in texts.items() if text is not None]
    return overrides([*(assignments or []), *given, *(f"evaluate.{key}=true" for key, on in switches.items() if on)])

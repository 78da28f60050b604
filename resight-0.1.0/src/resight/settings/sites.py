"""The file with all sites of a Prefect server: what `resight deploy` reads."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, ValidationError, field_validator

from resight.errors import SettingsError, machine_errors_at
from resight.plugins.params import Affects, Params
from resight.settings.layers import SETTINGS_FILE, load_settings, nest

LEAST_SILENCE_MIN = 5  # Prefect's heartbeat comes every 3 minutes
SITE = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
MINUTES_A_DAY = 24 * 60


class Schedule(Params):
    """When the work is done: five fields of cron; '' for never."""

    affects: ClassVar[Affects] = "execution"

    nightly: str = Field("30 2 * * *", description="when nights are done")
    accuracy: str = Field("0 4 * * 0", description="when accuracy is measured")
    timezone: str = Field("UTC", description="of these times, e.g. Europe/Athens")


class Site(Params):
    """One site."""

    affects: ClassVar[Affects] = "execution"

    workspace: str = Field(description="folder of the workspace, as the machine has it that runs the flows")
    nightly: str | None = Field(None, description="instead of the common one; it is not staggered")
    accuracy: str | None = Field(None, description="instead of the common one; it is not staggered")
    timezone: str | None = Field(None, description="instead of the common one")
    limit: int = Field(1, ge=1, description="how many runs of each kind may be under way at once; more are cancelled")
    tags: tuple[str, ...] = Field((), description="further tags of its runs")
    settings: dict[str, Any] = Field({}, description="settings for its runs above those of its resight.toml")


class Sites(Params):
    """All sites that one Prefect server runs."""

    affects: ClassVar[Affects] = "execution"

    wait_minutes: float = Field(
        180.0,
        ge=0,
        description="how long a run waits while another one is at work in its workspace (a night during a rebuild)",
    )
    pool: str = Field("resight", description="work pool; made (type process) where the server has none of that name")
    schedule: Schedule = Schedule()
    stagger_minutes: int = Field(
        10, ge=0, description="each site begins so much later than the one before it in this file"
    )
    crashed_after_minutes: float = Field(
        10.0,
        ge=0,
        description="a run that gives no sign of life for so long (Prefect's heartbeat comes every 3 minutes) is marked as Crashed "
        "by an automation of the server; 0: no automation",
    )
    notification_block: str = Field(
        "", description="block of the server, TYPE/NAME, that tells of runs that need somebody; '' for none"
    )
    sites: dict[str, Site] = Field(description="by name: small letters, digits and -")

    @field_validator("crashed_after_minutes")
    @classmethod
    def _longer_than_heartbeats(cls, minutes: float) -> float:
        if 0 < minutes < LEAST_SILENCE_MIN:
            raise ValueError(
                f"runs send a sign of life every 3 minutes; write {LEAST_SILENCE_MIN} or more, or 0 for no automation"
            )
        return minutes

    @field_validator("sites")
    @classmethod
    def _names(cls, sites: dict[str, Site]) -> dict[str, Site]:
        if not sites:
            raise ValueError("there is no site; write a section [sites.NAME] with its workspace")
        wrong = [name for name in sites if not SITE.fullmatch(name)]
        if wrong:
            raise ValueError(
                f"{wrong[0]!r} is no name of a site; take small letters, digits and -, e.g. zakynthos-west"
            )
        folders = [str(Path(site.workspace)) for site in sites.values()]
        twice = next((folder for folder in folders if folders.count(folder) > 1), None)
        if twice:
            raise ValueError(f"two sites have the workspace {twice}; a site is a workspace")
        relative = next((folder for folder in folders if not Path(folder).is_absolute()), None)
        if relative is not None:
            raise ValueError(
                f"the workspace {relative!r} is no absolute path; the machine that runs the flows starts them anywhere"
            )
        return sites

    def cron(self, name: str, what: str) -> str:
        """When a site does its ``nightly`` or ``accuracy``; '' for never."""
        own = getattr(self.sites[name], what)
        if own is not None:
            return str(own)
        return later(getattr(self.schedule, what), self.stagger_minutes * list(self.sites).index(name))

    def timezone(self, name: str) -> str:
        """Of the times of a site."""
        return self.sites[name].timezone or self.schedule.timezone


def read_sites(file: Path) -> Sites:
    """Read the file with all sites.

    Raises:
        SettingsError: It is not there, no TOML, or something in it is wrong; or a workspace that can be seen from here calls
            itself another site.
    """
    try:
        with machine_errors_at(file):
            found = Sites.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise SettingsError(f"{file} is not there; deploy/sites.toml in the repository is one to copy.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise SettingsError(f"{file} is not valid TOML ({error}); correct that line.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SettingsError(f"{file}: {where}: {first['msg'].removeprefix('Value error, ')}.") from None
    for name, site in found.sites.items():
        _check(file, name, site)
    return found


def later(cron: str, minutes: int) -> str:
    """The same times of each day, later; a line of cron that says more than one minute and hour stays as it is.

    One that would come to lie on the next day stays on its day, and goes round: for days of the week and the month it is the same day.
    """
    fields = cron.split()
    if len(fields) != 5 or not (fields[0].isdigit() and fields[1].isdigit()):
        return cron
    moved = (60 * int(fields[1]) + int(fields[0]) + minutes) % MINUTES_A_DAY
    return " ".join([str(moved % 60), str(moved // 60), *fields[2:]])


def _check(file: Path, name: str, site: Site) -> None:
    root = Path(site.workspace)
    nest(site.settings)
    if not (root / SETTINGS_FILE).exists():
        return  # on another machine, perhaps
    own = load_settings(root, site.settings).site
    if own not in ("", name):
        raise SettingsError(
            f"{file} calls {root} '{name}', but its {SETTINGS_FILE} says site = '{own}'; correct one of the two."
        )

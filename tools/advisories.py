"""Do published advisories speak of a version in the locks? `make advisories`, or `make advisories LIST=file.zip`.

Without a list osv.dev is asked. A list on disk is a zip archive or a folder of advisories in the OSV format, one JSON
file each, such as https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip. Its newest date is printed, because a
list says nothing about what came later.

Exit codes: 0 no advisory speaks of a pinned version, 1 some do, 2 the list cannot be read, 3 nobody could be asked.
"""

import argparse
import json
import sys
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from pins import LOCKS, Pin, read

OSV = "https://api.osv.dev/v1/querybatch"
NONE, SOME, UNREADABLE, NOT_ASKED = 0, 1, 2, 3
LOCK_FILES = ("runtime.txt", "development.txt", "torch-cpu.txt", "torch-cuda.txt")


class UnreadableListError(Exception):
    """A list of advisories that is none, or only in part."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", type=Path, help="zip archive or folder of OSV advisories")
    parser.add_argument("--osv", default=OSV, help="address to ask without a list (default: %(default)s)")
    parser.add_argument(
        "--locks", type=Path, nargs="+", default=[LOCKS / name for name in LOCK_FILES], help="locks to look at"
    )
    options = parser.parse_args(arguments)
    pins = list({(pin.name, pin.version): pin for lock in options.locks for pin in read(lock)}.values())
    try:
        hits, asked = from_list(options.list, pins) if options.list else from_osv(options.osv, pins)
    except UnreadableListError as error:
        print(f"Not checked: {error}", file=sys.stderr)
        return UNREADABLE
    except (OSError, ValueError) as error:
        print(
            f"Not checked: {options.osv} did not answer ({error}). Try again with the network, or give a list on disk: "
            "make advisories LIST=all.zip, as osv.dev offers it for PyPI.",
            file=sys.stderr,
        )
        return NOT_ASKED
    for pin, names in hits:
        print(f"{pin.name} {pin.version}: {', '.join(names)}")
    print(f"{len(hits)} of {len(pins)} pinned versions have advisories, according to {asked}.")
    return SOME if hits else NONE


def from_list(path: Path, pins: Iterable[Pin]) -> tuple[list[tuple[Pin, list[str]]], str]:
    """Pins with the names of advisories in a list on disk, and what the list is.

    Raises:
        UnreadableListError: It is no list of OSV advisories, or one of its files is damaged.
    """
    try:
        return _from_list(path, list(pins))
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise UnreadableListError(
            f"{path} holds something else than advisories in the OSV format ({type(error).__name__}: {error}); get the list again."
        ) from error


def _from_list(path: Path, pins: Iterable[Pin]) -> tuple[list[tuple[Pin, list[str]]], str]:
    advisories = [entry for entry in _entries(path) if not entry.get("withdrawn")]
    dates = [str(entry.get("modified", "")) for entry in advisories]
    if not max(dates, default=""):
        raise UnreadableListError(
            f"{path} holds no advisory in the OSV format (JSON files with id, modified and affected)."
        )
    by_name: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for entry in advisories:
        for affected in entry["affected"]:
            package = affected.get("package", {})
            if package.get("ecosystem") == "PyPI":
                by_name.setdefault(canonicalize_name(package["name"]), []).append((entry["id"], affected))
    if not by_name:
        raise UnreadableListError(f"{path} holds no advisory about packages of PyPI.")
    hits = []
    for pin in pins:
        names = sorted({name for name, affected in by_name.get(pin.name, ()) if speaks_of(affected, pin.version)})
        if names:
            hits.append((pin, names))
    return hits, f"{path} ({len(advisories)} advisories, the newest of {max(dates)[:10]})"


def speaks_of(affected: Mapping[str, Any], version: str) -> bool:
    """Whether an entry of ``affected`` includes a version: by name, or between two events (OSV schema, "Evaluation")."""
    # Advisories name public versions; a build like 2.13.0+cpu has the code of its public version.
    wanted = Version(Version(version).public)
    if any(_version(text) == wanted for text in affected.get("versions", ())):
        return True
    for span in affected.get("ranges", ()):
        if span.get("type") not in ("ECOSYSTEM", "SEMVER"):
            continue
        inside = False
        for kind, at in sorted(_events(span), key=lambda event: event[1]):
            if kind == "last_affected":
                inside = inside and wanted <= at
            elif at <= wanted:
                inside = kind == "introduced"
        if inside:
            return True
    return False


def _events(span: Mapping[str, Any]) -> Iterator[tuple[str, Version]]:
    for event in span["events"]:
        for kind in ("introduced", "fixed", "last_affected"):
            at = _version("0.dev0" if event.get(kind) == "0" else event[kind]) if kind in event else None
            if at is not None:
                yield kind, at


def _version(text: str) -> Version | None:
    """A version; None for what is none in Python's sense and so cannot be the version of a lock."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    """Every advisory of a zip archive or a folder."""
    try:
        if path.is_dir():
            yield from (_advisory(file.read_bytes(), str(file)) for file in sorted(path.rglob("*.json")))
            return
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".json"):
                    yield _advisory(archive.read(name), f"{path}: {name}")
    except (OSError, zipfile.BadZipFile) as error:
        raise UnreadableListError(f"{path} cannot be read ({error}); get the list again.") from error


def _advisory(content: bytes, where: str) -> dict[str, Any]:
    try:
        entry = json.loads(content)
        if not isinstance(entry["id"], str) or not isinstance(entry.setdefault("affected", []), list):
            raise TypeError("id or affected is of another type")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UnreadableListError(f"{where} is no advisory in the OSV format ({error}); get the list again.") from error
    return dict(entry)


def from_osv(address: str, pins: list[Pin]) -> tuple[list[tuple[Pin, list[str]]], str]:
    """Pins with the names of advisories that a server with OSV's API knows, and the server.

    Raises:
        OSError: It does not answer.
        ValueError: What it answers is not what OSV's API says.
    """
    queries = [
        {"package": {"ecosystem": "PyPI", "name": pin.name}, "version": Version(pin.version).public} for pin in pins
    ]
    request = urllib.request.Request(
        address, json.dumps({"queries": queries}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        told = json.load(answer)
    results = told.get("results") if isinstance(told, dict) else None
    if not isinstance(results, list) or len(results) != len(pins):
        raise ValueError("it does not answer in the form of OSV's API")
    hits = [
        (pin, sorted(entry["id"] for entry in result["vulns"]))
        for pin, result in zip(pins, results, strict=True)
        if result.get("vulns")
    ]
    return hits, f"{address}, asked now"


if __name__ == "__main__":
    sys.exit(main())

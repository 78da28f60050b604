"""The fusion that a workspace uses: files that are never changed, and a pointer to the accepted one.

``models/fusion/<evidence>/<fingerprint>.json`` holds a fusion, ``accepted.json`` beside it names the one in use.
``evidence`` names what it was fitted on: extractor, matcher and votes; nothing carries over to another one.
"""

from __future__ import annotations

from dataclasses import dataclass

from resight.score.fusion import Fusion
from resight.store.fingerprint import fingerprint
from resight.store.listing import matching
from resight.store.sealed import read_json, write_json
from resight.store.workspace import Workspace

POINTER = "accepted.json"


@dataclass(frozen=True)
class Accepted:
    """A fusion and how many accepted ones came before it (0: none)."""

    fusion: Fusion
    generation: int


def evidence_name(match_fingerprint: str, votes_fingerprint: str) -> str:
    """Name of the evidence that a fusion was fitted on."""
    return fingerprint("evidence", match_fingerprint, votes_fingerprint)


def accepted(workspace: Workspace, evidence: str) -> Accepted | None:
    """The accepted fusion for this evidence, or None before the first one."""
    folder = workspace.models / "fusion" / evidence
    if not (folder / POINTER).exists():
        return None
    pointer = read_json(folder / POINTER)
    values = read_json(folder / f"{pointer['fingerprint']}.json")
    return Accepted(Fusion.from_dict(values), pointer["generation"])


def accept(workspace: Workspace, evidence: str, fusion: Fusion) -> Accepted:
    """Keep a fusion and make it the one in use; the one before stays beside it."""
    before = accepted(workspace, evidence)
    if before is not None and before.fusion.fingerprint == fusion.fingerprint:
        return before
    generation = 0 if before is None else before.generation + 1
    folder = workspace.models / "fusion" / evidence
    write_json(folder / f"{fusion.fingerprint}.json", fusion.as_dict())
    write_json(folder / POINTER, {"fingerprint": fusion.fingerprint, "generation": generation})
    return Accepted(fusion, generation)


def replaced_fusions(workspace: Workspace) -> list[str]:
    """Fingerprints of accepted fusions that replaced an earlier one: they change the results of a run on the same photos."""
    pointers = [read_json(p) for p in matching(workspace.models / "fusion", f"*/{POINTER}")]
    return sorted(p["fingerprint"] for p in pointers if p["generation"])

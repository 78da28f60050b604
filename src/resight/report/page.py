"""From tables to one HTML page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resight.plugins.registry import SCORES
from resight.report import words
from resight.report.cards import Card, make_cards, of_tonight
from resight.report.data import ReportData
from resight.report.drawings import CURVE_WH, LEVELS, PAIR_HEIGHT
from resight.report.params import ReportParams
from resight.report.pictures import Beside, EmbeddedCrops
from resight.report.templates import template
from resight.status import KEPT_ASIDE, PAST, Decision, PhotoStatus
from resight.weights.registry import WEIGHTS, known_by_digest

STAGES = (
    "ingest", "segment", "extract", "embed", "match", "calibration", "score", "rank", "novelty", "cluster", "photos",
)  # fmt: skip


@dataclass(frozen=True)
class StageCount:
    """How many things a stage got and how each ended."""

    stage: str
    came_in: int
    out: dict[str, int]

    @property
    def agrees(self) -> bool:
        """Whether as many came out as went in."""
        return sum(self.out.values()) == self.came_in


def render_report(data: ReportData, params: ReportParams, beside: Beside | None = None) -> str:
    """The page as HTML: styles and drawings inside, no scripts, nothing fetched from elsewhere.

    Pictures are inside too, but for a page of very many, which would take long to open: those go into files ``beside`` it, if that
    is given, and a browser reads them as they come into sight. Page and files must stay in one folder.

    Texts from files and tables are escaped. The same data give the same page.
    """
    pictures = EmbeddedCrops(data.read_crop, read_photo=data.read_photo)
    cards = make_cards(data, params, pictures, beside)
    if beside is not None:
        beside.finish()
    tonight, before = _decisions(data)
    accuracy = _accuracy(data)
    score_name = data.scores["score_name"][0].as_py() if data.scores.num_rows else "score"
    return template("page.html").render(
        run=data.run,
        title=f"Resight, night of {words.day(data.run['night'])}",
        night=words.day(data.run["night"]),
        sentence=_sentence(data, tonight, before),
        facts=facts(data.run),
        notes=list(data.run.get("notes") or []),
        parts=_parts(cards, tonight, before),
        cards=cards,
        n_encounters=data.novelty.num_rows,
        counts=_counts(data.run),
        rejected=_rejected(data),
        metrics=[words.metric_row(row) for row in accuracy if row["stratum"] == "all"],
        strata=[words.metric_row(row) for row in accuracy if row["stratum"] != "all"],
        protocol=", ".join(sorted({row["protocol"] for row in accuracy})),
        score_name=score_name,
        score_meaning=SCORES[score_name].description if score_name in SCORES else "",
        pictures=pictures.all,
        words=words,
        levels=range(LEVELS),
        pair_height=PAIR_HEIGHT,
        curve_wh=CURVE_WH,
    )


def _decisions(data: ReportData) -> tuple[Counter[str], Counter[str]]:
    """Encounters by decision: tonight's, and those that are open from before."""
    rows, fresh = data.novelty.select(["encounter_id", "decision"]).to_pylist(), of_tonight(data)
    tonight = Counter(r["decision"] for r in rows if r["encounter_id"] in fresh)
    return tonight, Counter(r["decision"] for r in rows) - tonight


def _sentence(data: ReportData, tonight: Mapping[str, int], before: Mapping[str, int]) -> str:
    """The run in a sentence."""
    rejected = data.photos["status"].to_pylist().count(PhotoStatus.REJECTED.value)
    photos = words.plural(data.photos.num_rows, "photo")
    photos += f", of which {rejected} could not be used" if rejected else ""
    if not data.novelty.num_rows:
        return f"{photos}; there was nothing to identify."
    said = f"{photos}; {words.plural(sum(tonight.values()), 'encounter')} to identify"
    said += f": {_ends(tonight)}." if tonight else " tonight."
    n_before = sum(before.values())
    return (
        f"{said} {n_before} more from before {'is' if n_before == 1 else 'are'} open: {_ends(before)}."
        if before
        else said
    )


def _ends(decisions: Mapping[str, int]) -> str:
    return ", ".join(f"{decisions[d.value]} {words.BADGES[d]}" for d in words.ORDER if decisions.get(d.value))


def facts(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What made the result, for whoever wants to repeat it."""
    settings = words.parsed(run["settings"])
    span = (run["ended_at"] - run["started_at"]).total_seconds()
    facts = [
        ("Run", run["run_id"]),
        ("Flow", _flow(run)),
        ("Made", f"{words.moment(run['ended_at'])} UTC, in {words.seconds(span)} on {run['device']}"),
        ("Extractor", settings.get("extract", {}).get("kind", "–")),
        ("Matcher", settings.get("match", {}).get("kind", "–")),
        ("Score", settings.get("score", {}).get("name", "–")),
    ]
    weights = [_weight(name, value) for name, value in sorted(words.parsed(run["weights"]).items())]
    facts.append(("Weights", "; ".join(weights) or "none needed"))
    return [*facts, ("Model", str(run["model_fingerprint"])), ("Resight", str(run["resight_version"]))]


def _flow(run: Mapping[str, Any]) -> str:
    if run["flow"] == PAST:
        return f"past: what was there on {run['night']}; none of it is current"
    return str(run["flow"]) + (", kept apart" if run["status"] == KEPT_ASIDE else "")


def _weight(name: str, value: Any) -> str:
    """Name, licence and the beginning of the digest."""
    digest = value.get("sha256", "") if isinstance(value, Mapping) else str(value)
    entry = WEIGHTS.get(name) or known_by_digest(digest)
    licence = value.get("licence") if isinstance(value, Mapping) else None
    return f"{Path(name).name} ({licence or (entry.licence if entry else 'licence unknown')}, {digest[:8]})"


def _parts(cards: Sequence[Card], tonight: Mapping[str, int], before: Mapping[str, int]) -> list[dict[str, Any]]:
    """The index: tonight, and apart from it what is open from before."""
    parts = [("Tonight", tonight, True)] + ([("Open from before", before, False)] if before else [])
    return [
        {"heading": name if before else "", "groups": _groups([c for c in cards if c.tonight is new], decisions, new)}
        for name, decisions, new in parts
    ]


def _groups(cards: Sequence[Card], decisions: Mapping[str, int], also_empty: bool) -> list[dict[str, Any]]:
    """Decisions in order, how many there are, and the cards that are on the page."""
    return [
        {
            "decision": decision.value,
            "heading": words.HEADINGS[decision][0],
            "hint": words.HEADINGS[decision][1],
            "count": decisions.get(decision.value, 0),
            "cards": [card for card in cards if card.decision is decision],
        }
        for decision in words.ORDER
        if decisions.get(decision.value) or (also_empty and decision in (Decision.NEW, Decision.UNSURE, Decision.KNOWN))
    ]


def _counts(run: Mapping[str, Any]) -> list[StageCount]:
    counts = words.parsed(run["counts"])
    names = [s for s in STAGES if s in counts] + sorted(set(counts) - set(STAGES))
    return [StageCount(name, counts[name]["in"], dict(counts[name]["out"])) for name in names]


def _rejected(data: ReportData) -> list[dict[str, str]]:
    rows = data.photos.select(["uri", "status", "reason", "message"]).to_pylist()
    return [
        {
            "file": words.photo_path(r["uri"]),
            "link": words.page_link(r["uri"], data.root, data.folder),
            "reason": (r["reason"] or "").replace("_", " "),
            "message": r["message"] or "",
        }
        for r in rows
        if r["status"] == PhotoStatus.REJECTED
    ]


def _accuracy(data: ReportData) -> list[Mapping[str, Any]]:
    """Rows of ``accuracy`` in the order of `words.METRICS`; metrics that the page does not know come last."""
    place = {name: k for k, name in enumerate(words.METRICS)}

    def order(row: Mapping[str, Any]) -> tuple[int, str, str]:
        metric = row["metric"]
        return place.get(metric, place.get(metric.rpartition("_")[0], len(place))), metric, row["stratum"]

    return sorted(data.accuracy.to_pylist(), key=order) if data.accuracy is not None else []

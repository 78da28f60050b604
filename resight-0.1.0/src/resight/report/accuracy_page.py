"""From the tables of a measured run to one HTML page: how good, for which photos bad, and whether it got worse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resight.evaluate.history import Earlier
from resight.report import accuracy_cards, accuracy_mistakes, accuracy_words, charts, words
from resight.report.accuracy_data import AccuracyData
from resight.report.page import facts
from resight.report.pictures import EmbeddedCrops
from resight.report.templates import template

TREND = {"top1_encounter": "right animal first, encounters", "novelty_auroc": "new against known (AUROC)", "top1_photo": "right animal first, photos"}  # fmt: skip


def render_accuracy(data: AccuracyData) -> str:
    """The page as HTML: styles, pictures and drawings inside, no scripts, nothing fetched.

    Texts from files and tables are escaped. The same data give the same page. Where the leak gate found queries with a
    gallery photo of their animal and day, there is a banner in place of the headline.
    """
    pictures = EmbeddedCrops(data.read_crop)
    album = accuracy_mistakes.Album(data, pictures)
    state, worse = accuracy_words.got_worse(data)
    cases, moved = accuracy_mistakes.mistakes(data, album), accuracy_mistakes.changed(data, album)
    painted = accuracy_mistakes.painted(data, pictures)
    protocol = next((r["protocol"] for r in data.accuracy), "")
    return template("accuracy.html").render(
        title=f"Resight, accuracy of {words.day(data.run['night'])}",
        night=words.day(data.run["night"]),
        protocol=accuracy_words.PROTOCOLS.get(protocol, protocol),
        notes=list(data.run.get("notes") or []),
        leak=data.leak,
        how_good=accuracy_words.how_good(data),
        where_bad=accuracy_words.where_bad(data),
        state=state,
        got_worse=worse,
        figures=accuracy_cards.figures(data),
        factors=accuracy_cards.factors(data),
        overall=data.value("top1_photo"),
        plots=_plots(data),
        trend=charts.trend([*data.earlier, _now(data)], TREND),
        differences=accuracy_cards.differences(data),
        short=accuracy_cards.differences(data, short=True),
        against=data.against,
        cases=cases,
        confusions=accuracy_mistakes.confusions(data),
        moved=moved,
        tally=accuracy_mistakes.tally(data),
        n_changes=len(data.changes),
        painted=painted,
        groups=accuracy_cards.table(data),
        strata=accuracy_cards.strata_table(data),
        facts=facts(data.run),
        pictures=pictures.all,
        words=words,
        size=(charts.WIDTH, charts.HEIGHT),
    )


def _plots(data: AccuracyData) -> list[charts.Chart]:
    drawn = (
        charts.cmc(data.curves), charts.days(data.curves), charts.reliability(data.curves),
        charts.scores(data.curves, data.score_name), charts.sizes(data.curves),
    )  # fmt: skip
    return [chart for chart in drawn if chart is not None]


def _now(data: AccuracyData) -> Earlier:
    values: Mapping[str, tuple[Any, Any, Any]] = {
        m: (r["value"], r["ci_low"], r["ci_high"]) for m, r in data.overall.items()
    }
    return Earlier(data.run["run_id"], data.run["ended_at"], data.run["model_fingerprint"], values)

"""``python -m resight.train.fusion --runs W/runs/A W/runs/B --names zakynthos bonaire``: judge, then write the shipped prior.

The runs are those of `resight evaluate` on labelled folders; runs with the same features teach one prior together.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from resight.novelty.params import NoveltyParams
from resight.score import prior
from resight.score.fusion import available
from resight.train.fusion.judge import judge
from resight.train.fusion.material import Labelled, read_run_folder, training
from resight.train.fusion.recipe import write_prior


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m resight.train.fusion", description=__doc__)
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="run folders of `resight evaluate`")
    parser.add_argument("--names", nargs="+", required=True, help="what the labelled folders are called, in that order")
    parser.add_argument("--out", type=Path, help="where prior.json goes; the package's own if not given")
    parser.add_argument("--judge", action="store_true", help="only judge, write nothing")
    parser.add_argument("--alpha", type=float, default=NoveltyParams().alpha)
    given = parser.parse_args()
    groups: dict[tuple[str, ...], list[Labelled]] = {}
    for folder in given.runs:
        run = read_run_folder(folder)
        groups.setdefault(available(training(run, gallery_alone=False).d), []).append(run)
    for features, runs in groups.items():
        for run in runs:
            told = judge(run, runs, NoveltyParams(alpha=given.alpha))
            print(run.name, ", ".join(features), json.dumps(told), flush=True)
    if not given.judge:
        target = given.out or Path(prior.__file__).with_name(prior.PRIOR_FILE)
        print(json.dumps(write_prior(list(groups.values()), given.names, target), indent=1))


if __name__ == "__main__":
    main()

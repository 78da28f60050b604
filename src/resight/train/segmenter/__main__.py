"""``python -m resight.train.segmenter --data ../shared/data``: the bundled weights anew, on a GPU if there is one."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from pathlib import Path

import torch

from resight.segment.kinds.head_finder import BUNDLED
from resight.train.segmenter.pause import Pause
from resight.train.segmenter.recipe import Recipe, train_and_write


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m resight.train.segmenter", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    parser.add_argument("--sets", nargs="+", default=["zakynthos", "bonaire"], help="data sets in it")
    parser.add_argument("--out", type=Path, default=BUNDLED, help="where the weights go; the recipe goes beside them")
    parser.add_argument("--steps", type=int, default=0, help="instead of the recipe's")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--minutes", type=float, default=0, help="the schedule is squeezed to end by then")
    parser.add_argument("--start", type=Path, help="weights to go on from, instead of from scratch")
    parser.add_argument(
        "--state", type=Path, default=Path("build/segmenter.state"), help="a killed training goes on from here"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    recipe = Recipe(seed=given.seed)
    if given.steps:
        recipe = dataclasses.replace(recipe, plan=dataclasses.replace(recipe.plan, steps=given.steps))
    pause = Pause(given.state, limit_s=60 * given.minutes)
    folders = [given.data / name for name in given.sets]
    said = train_and_write(folders, given.out, recipe, given.device, pause, given.start)
    given.state.unlink(missing_ok=True)
    logging.info(
        "%s: %s, %d steps, %d s on %s", given.out, said["photos"], said["steps"], said["seconds"], given.device
    )


if __name__ == "__main__":
    main()

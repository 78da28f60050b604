"""Pictures and matching points for the pages: quick, because a person waits."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from resight.environment import Environment
from resight.errors import WorkspaceError
from resight.ingest.decode import load_rgb
from resight.match.evidence import Evidence, evidence
from resight.reading import RunResults
from resight.review.board import Board
from resight.run.conditions import Conditions
from resight.run.models import weights_of
from resight.run.setups import match_setup
from resight.runner.params import DaskParams
from resight.runner.runner import Runner
from resight.segment.store import read_crop

JPEG_QUALITY = 88
LONG_SIDE_PX = 1600
SMALL_PX, SMALL_QUALITY = (192, 144), 80  # twice what style sheets give a picture among others
KEPT_PICTURES, KEPT_SMALL = 400, 8000  # 15 and 50 MB
POINTS_SHOWN = 60


class Pictures:
    """Gives pictures as JPEG and points as plain numbers. Safe to use from several threads."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._lock = threading.Lock()
        self._points: tuple[str, dict[tuple[str, str], Evidence]] = ("", {})
        self.crop = lru_cache(KEPT_PICTURES)(self._crop)
        self.photo = lru_cache(KEPT_PICTURES // 8)(self._photo)
        self.small = lru_cache(KEPT_SMALL)(self._small)
        self.small_photo = lru_cache(KEPT_SMALL // 8)(self._small_photo)

    def _crop(self, crop_id: str, folder: str) -> bytes:
        """A crop; ``folder`` of the generation keeps pictures of different runs apart.

        Raises:
            WorkspaceError: There is no such crop.
        """
        return _jpeg(self._pixels(crop_id))

    def _small(self, crop_id: str, folder: str) -> bytes:
        """The same, as small as it stands beside others; errors as there."""
        return _jpeg(_shrunk(self._pixels(crop_id)), SMALL_QUALITY)

    def _small_photo(self, photo_id: str, folder: str) -> bytes:
        bgr = cv2.imdecode(np.frombuffer(self.photo(photo_id, folder), np.uint8), cv2.IMREAD_COLOR)
        if bgr is None:
            raise WorkspaceError("A picture cannot be shown.")
        return _jpeg(_shrunk(bgr[..., ::-1]), SMALL_QUALITY)

    def _pixels(self, crop_id: str) -> np.ndarray:
        path = self.board.facts.paths.get(crop_id)
        if path is None:
            raise WorkspaceError(f"There is no crop {crop_id}.")
        return read_crop(self.board.desk.workspace, path)[0]

    def _photo(self, photo_id: str, folder: str) -> bytes:
        """A photo, at most `LONG_SIDE_PX` long.

        Raises:
            WorkspaceError: There is no such photo, or its file is gone.
        """
        row = self.board.facts.tables.photos.get(photo_id)
        if row is None:
            raise WorkspaceError(f"There is no photo {photo_id}.")
        try:
            return _jpeg(load_rgb(row["uri"], 200.0, self.board.desk.workspace.root))
        except OSError:
            raise WorkspaceError(f"{row['uri']} cannot be read; is its disk there?") from None

    def prepare(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Read the points of these pairs that are kept, at once: one by one would look through all files each time."""
        self._look_up(sorted(set(pairs)), kept_only=True)

    def known(self, pair: tuple[str, str]) -> dict[str, Any] | None:
        """`points` where they are at hand; None where they would have to be looked up or computed."""
        folder, kept = self._points
        is_current = folder == str(self.board.desk.tables.generation.folder)
        return _plain(kept[pair]) if is_current and pair in kept else None

    def points(self, pair: tuple[str, str]) -> dict[str, Any]:
        """The points of two crops that fit one pattern, and nothing else, in pixels of the crops.

        Raises:
            WorkspaceError: The two cannot be compared.
        """
        found = self._look_up([pair]).get(pair)
        if found is None:
            raise WorkspaceError("These two pictures cannot be compared.")
        return _plain(found)

    def _look_up(self, pairs: list[tuple[str, str]], *, kept_only: bool = False) -> dict[tuple[str, str], Evidence]:
        with self._lock:
            generation = self.board.desk.tables.generation
            if self._points[0] != str(generation.folder):
                self._points = (str(generation.folder), {})
            known = self._points[1]
            missing = [pair for pair in pairs if pair not in known]
            if missing and generation.run_id is not None:
                known |= self._match(generation.run_id, missing, kept_only)
            return known

    def _match(self, run_id: str, pairs: list[tuple[str, str]], kept_only: bool) -> dict[tuple[str, str], Evidence]:
        """From the store where the night has found them; matched now where not, unless ``kept_only``."""
        run = RunResults(self.board.desk.workspace, run_id)
        features = run.table("features")
        usable = {
            c for c, s in zip(features["crop_id"].to_pylist(), features["status"].to_pylist(), strict=True) if s == "ok"
        }
        asked = [pair for pair in pairs if usable.issuperset(pair)]
        settings = run.settings
        with Runner(DaskParams(mode="inline"), settings.device, quiet=True) as runner:
            env = Environment(run.workspace, weights_of(run.workspace, settings), runner, settings.device)
            name = Conditions(env, settings).names.match
            return evidence(env, match_setup(settings), name, asked, features, kept_only=kept_only)


def _plain(found: Evidence) -> dict[str, Any]:
    fits = found.inlier.astype(bool) if found.verified else np.zeros(len(found.inlier), bool)
    rows = np.hstack([found.xy_a_px, found.xy_b_px])[fits][:POINTS_SHOWN]
    return {"points": np.round(rows, 1).tolist(), "tried": bool(found.verified), "n_fit": int(fits.sum())}


def _shrunk(rgb: np.ndarray) -> np.ndarray:
    """As small as it can be and still fill `SMALL_PX`."""
    scale = max(SMALL_PX[0] / rgb.shape[1], SMALL_PX[1] / rgb.shape[0])
    return rgb if scale >= 1 else cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _jpeg(rgb: np.ndarray, quality: int = JPEG_QUALITY) -> bytes:
    scale = LONG_SIDE_PX / max(rgb.shape[:2])
    if scale < 1:
        rgb = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise WorkspaceError("A picture cannot be shown.")
    return bytes(data.tobytes())

"""Settings of the shortlist that spares large galleries the comparison of every pair."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from resight.extract.kinds.sift import SiftParams
from resight.extract.params import ExtractorBase
from resight.plugins.params import Params
from resight.store.fingerprint import fingerprint


class ShortlistParams(Params):
    """Which gallery crops are worth the matcher's time: LNBNN votes of single descriptors (McCann and Lowe 2012)."""

    revision: ClassVar[int] = 1

    enabled: Literal["off", "votes", "on", "auto"] = Field(
        "auto",
        description="off: no votes; votes: they are evidence, every pair is matched; on: they also leave pairs out; "
        "auto: on from min_gallery crops, below that votes if the score is fused",
    )
    min_gallery: int = Field(500, ge=1, description="auto: gallery crops from which a shortlist pays")
    k: int = Field(100, ge=1, description="gallery crops kept per query crop")
    descriptors: Literal["own", "sift"] = Field(
        "sift", description="own: those of the extractor; sift: RootSIFT of its own, the better voter on turtles"
    )
    descriptors_per_crop: int = Field(
        512, ge=1, le=8192, description="strongest descriptors that vote and are voted for"
    )
    neighbours: int = Field(4, ge=1, le=64, description="nearest gallery descriptors that get a vote (K)")
    n_lists: int = Field(0, ge=0, le=65536, description="inverted lists; 0 takes them from the size of the gallery")
    n_probe: int = Field(16, ge=1, description="lists that a query descriptor looks into")
    pq_bytes: int = Field(32, ge=0, le=256, description="bytes per stored descriptor; 0 keeps descriptors as they are")
    retrain_growth: float = Field(
        4.0, gt=1, description="train lists and codes anew when the gallery has grown so much"
    )
    backend: Literal["torch", "faiss"] = Field("torch", description="faiss is faster and needs resight[faiss]")

    def is_on(self, n_gallery: int) -> bool:
        """Whether a gallery of so many crops gets a shortlist. With no more than ``k`` there is nothing to leave out."""
        if self.enabled in ("off", "votes"):
            return False
        return n_gallery > self.k and (self.enabled == "on" or n_gallery >= self.min_gallery)

    def votes(self, fused: bool) -> bool:
        """Whether votes are counted where no shortlist is made; ``fused``: the score asks for them."""
        return self.enabled == "votes" or (fused and self.enabled != "off")

    def exact(self) -> ShortlistParams:
        """The same with descriptors kept as they are, for galleries so small that nothing is left out."""
        return self.model_copy(update={"pq_bytes": 0})

    def extractor(self, own: ExtractorBase) -> ExtractorBase:
        """Settings of the extractor whose descriptors vote; run the extract stage with them.

        Descriptors come strongest first, so a pipeline that extracts RootSIFT anyway shares its store.
        """
        if self.descriptors == "own" or (
            isinstance(own, SiftParams) and own.root and own.max_keypoints >= self.descriptors_per_crop
        ):
            return own
        return SiftParams(max_keypoints=self.descriptors_per_crop)

    def accepts(self, own: ExtractorBase) -> bool:
        """Whether the descriptors of the pipeline's extractor can vote; binary ones have no Euclidean distance."""
        return self.enabled == "off" or self.descriptors == "sift" or not own.binary

    def index_fingerprint(self, *upstream: str) -> str:
        """Name of an index's family: what decides how it is built, on top of the descriptors' fingerprint.

        How it is asked (``k``, ``n_probe``, ``neighbours``, ``backend``) is not part of it.
        """
        built = self.model_dump(include={"descriptors", "descriptors_per_crop", "n_lists", "pq_bytes"})
        return fingerprint("ShortlistIndex", self.revision, built, *upstream)

"""Settings of the shortlist that spares large galleries the comparison of every pair."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from resight.extract.kinds.sift import SiftParams
from resight.extract.params import ExtractorBase
from resight.plugins.params import Params, expert_field


class ShortlistParams(Params):
    """Which gallery crops are worth the matcher's time: LNBNN votes of single descriptors (McCann and Lowe 2012)."""

    label: ClassVar[str] = "shortlist-index"  # the one output that these settings name

    enabled: Literal["off", "votes", "on", "auto"] = Field(
        "auto",
        description="a quick vote before matching. off: none; votes: it is evidence, and every pair is still matched; on: only the "
        "best pairs, by votes and, where crops have them, by vectors, are matched; auto: on from min_gallery crops, below that "
        "votes if the score is fused",
    )
    min_gallery: int = Field(500, ge=1, description="auto: how many gallery crops make a shortlist worthwhile")
    k: int = Field(100, ge=1, description="gallery crops that each query crop is matched with")
    descriptors: Literal["own", "sift"] = expert_field(
        "sift", description="own: the extractor's; sift: RootSIFT computed for the vote, which does better on turtles"
    )
    descriptors_per_crop: int = expert_field(
        512, ge=1, le=8192, description="descriptors per crop that take part in the vote, strongest first"
    )
    neighbours: int = expert_field(
        4, ge=1, le=64, description="nearest gallery descriptors that a query descriptor votes for (K)"
    )
    n_lists: int = expert_field(
        0, ge=0, le=65536, description="inverted lists; 0: as many as suit the size of the gallery"
    )
    n_probe: int = expert_field(16, ge=1, description="inverted lists that are searched for a query descriptor")
    pq_bytes: int = expert_field(
        32, ge=0, le=256, description="bytes per stored descriptor; 0 stores descriptors uncompressed"
    )
    per_animal: int = expert_field(
        1, ge=1, description="photos of an animal that get a place before the next animal's; where crops have vectors"
    )
    leaders: int = expert_field(
        5,
        ge=0,
        description="animals with most evidence, which get per_leader photos in the first round, before the others get any; where crops have vectors",
    )
    per_leader: int = expert_field(3, ge=1, description="photos of each of the leaders in the first round")
    backend: Literal["torch", "faiss"] = expert_field(
        "torch", description="what searches the lists; faiss needs resight[faiss]"
    )

    def is_on(self, n_gallery: int) -> bool:
        """Whether a gallery of so many crops gets a shortlist. With no more than ``k`` there is nothing to leave out."""
        if self.enabled in ("off", "votes"):
            return False
        return n_gallery > self.k and (self.enabled == "on" or n_gallery >= self.min_gallery)

    def votes(self, fused: bool) -> bool:
        """Whether votes are counted where no shortlist is made; ``fused``: the score uses them."""
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

    def index_name(self, *upstream: str) -> str:
        """Name of an index's family: what decides how it is built, on top of the descriptors' fingerprint.

        What only decides how it is searched (``k``, ``n_probe``, ``neighbours``, ``backend``) is not part of it.
        """
        return self.name_within({"descriptors", "descriptors_per_crop", "n_lists", "pq_bytes"}, *upstream)

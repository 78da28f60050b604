"""The stage on the photos of a workspace."""

from collections.abc import Callable

import pytest

from resight.environment import Environment
from resight.ingest.files import ingest_fingerprint
from resight.ingest.params import EncounterParams, IngestParams
from resight.ingest.stage import IngestResult, IngestSetup, ingest


@pytest.fixture
def read_photos(env: Environment) -> Callable[..., IngestResult]:
    """Read sources under the default settings."""

    def read(*sources: str) -> IngestResult:
        setup = IngestSetup(IngestParams(), EncounterParams())
        return ingest(env, setup, ingest_fingerprint(setup.params), sources, "2026-07-01")

    return read

"""Stage ``ingest``: finds photos, looks at what is new, and joins what people say about them."""

from resight.ingest.decode import DECODE_REVISION, load_rgb
from resight.ingest.reasons import PhotoError
from resight.ingest.stage import IngestResult, has_outlines, ingest

__all__ = ["DECODE_REVISION", "IngestResult", "PhotoError", "has_outlines", "ingest", "load_rgb"]

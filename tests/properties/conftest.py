"""The same examples on every machine; HYPOTHESIS_PROFILE=search looks for new ones, and for longer."""

import os

from hypothesis import settings

settings.register_profile("steady", derandomize=True, max_examples=50, deadline=None, database=None)
settings.register_profile("search", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

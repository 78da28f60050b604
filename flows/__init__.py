"""Prefect flows. Each is a thin cover over a plain function of the same module (`run_nightly`, `run_rebuild`, …)."""

import os

# Before Prefect is imported: nothing is sent to anybody unless the user turns it on, and a slow machine
# gets time to start the temporary server (its own limit of 20 s is too short on a busy laptop).
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")

"""Whole jobs as plain functions (`run_nightly`, `run_rebuild`, …); four modules also have a Prefect flow, a thin cover over theirs.

A flow is made when it is first asked for (`lazy`), so that nobody who does without Prefect imports it.
"""

import os

# Before Prefect is imported: nothing is sent to anybody unless the user turns it on, and a slow machine
# gets time to start the temporary server (its own limit of 20 s is too short on a busy laptop).
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")

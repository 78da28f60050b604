"""Tables that are computed from a run's tables when they are read; no file holds them."""

import pyarrow as pa

from resight.catalog.schema import Column, Table
from resight.catalog.tables import DAY, F64, I32, RUN, STRINGS, TIME, UTC, S

SIGHTINGS = Table(
    "sightings", 1,
    "an encounter with who it was and how certain that is; computed when it is read (`resight.read_sightings`), no file holds it",
    ("sighting_id",),
    (
        RUN,
        Column("sighting_id", S, "encounter_id; where people have given the photos of one encounter several names, encounter_id/name for each"),
        Column("encounter_id", S, "encounter of the photos", nullable=False),
        Column("taken_on", pa.date32(), "day on which it was taken; known in more cases than the time"),
        Column("taken_at", TIME, "local time at which it was taken, from metadata.csv, otherwise from EXIF"),
        Column("utc_offset", S, "offset of that local time from UTC, e.g. +03:00; missing where neither metadata.csv nor EXIF says it"),
        Column("site", S, "column site, location, locality, place or beach of metadata.csv"),
        Column("latitude_deg", F64, "WGS 84 latitude, north positive", "degree"),
        Column("longitude_deg", F64, "WGS 84 longitude, east positive", "degree"),
        Column("species", S, "scientific name, from the column species of metadata.csv or as given for the export"),
        Column("viewpoints", STRINGS, "sides of the head that the photos show, sorted, without unknown", nullable=False),
        Column("individual_id", S, "the animal: as confirmed by a person, else as decided by the program, else its provisional name; missing if open"),
        Column("certainty", S, "confirmed: a person has named the photos; decided: the program names a catalogued animal, unconfirmed; "
               "provisional: a name that the program gave to an animal it does not know; open: nobody can say", nullable=False),
        Column("decision", S, "verdict of the program; missing if it was not asked, because a person has named the photos"),
        Column("probability", F64, "probability that it is that animal; missing for confirmed, provisional and open ones"),
        Column("best_candidate_id", S, "catalogued animal that is most similar, whatever the verdict"),
        Column("best_candidate_probability", F64, "probability that it is the best candidate"),
        Column("p_new", F64, "probability that it is an animal that is not in the gallery"),
        Column("n_photos", I32, "usable photos of the sighting", nullable=False),
        Column("photo_ids", STRINGS, "these photos, in the order in which they were taken", nullable=False),
        Column("photos", STRINGS, "their files, in the same order", nullable=False),
    ),
    in_files=False,
)  # fmt: skip

ATTEMPTS = Table(
    "attempts", 1,
    "a command that changed something, or tried to; computed when it is read (`resight.read_attempts`) from the lines in `log/`",
    ("attempt",),
    (
        Column("attempt", S, "its name: when it began (UTC), the command, and six digits"),
        Column("command", S, "nightly, rebuild, accuracy, evaluate, compare, models promote, …", nullable=False),
        Column("night", DAY, "night that it was for; missing for commands without one"),
        Column("began_at", UTC, "when it began", nullable=False),
        Column("ended_at", UTC, "when it ended; missing while it is under way, and where it was killed"),
        Column("outcome", S, "done, kept_aside, failed, stopped (by Ctrl-C or a signal), killed, or under_way", nullable=False),
        Column("exit_code", I32, "what the command ended with; missing while it is under way"),
        Column("sentence", S, "why it ended so; empty where there is nothing to say"),
        Column("run_id", S, "run that it came to; missing if none"),
        Column("host", S, "machine or container"),
        Column("user", S, "user of that machine"),
        Column("version", S, "version of Resight"),
        Column("counts", S, "JSON object: by stage, how many came in and how each ended, as far as it came"),
        Column("work", S, "JSON object: what was really computed"),
        Column("seconds", S, "JSON object: wall time by stage, as far as it came"),
    ),
    in_files=False,
)  # fmt: skip

COMPUTED = (SIGHTINGS, ATTEMPTS)

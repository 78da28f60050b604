-- Views for DuckDB, from whatever folder it is started in:   duckdb -init "my season/catalog.sql"
-- or from Python:   duckdb.connect().execute(open("my season/catalog.sql").read())
-- `resight init` puts this file into the workspace, and a night that finds the workspace elsewhere corrects the next line.

{home}

-- To read another workspace, or a copy of this one:   SET VARIABLE workspace = '/path/of/it';   before this file is read.
-- Where the folder above is gone and nothing is set, it is the folder that DuckDB is started in.
SET VARIABLE workspace = coalesce(
    getvariable('workspace'),
    (SELECT getvariable('home') FROM glob(getvariable('home') || '/current/generation.json') LIMIT 1),
    '.'
);

-- What is current now. It is looked up once, so that tables which are joined below belong together, whatever is published meanwhile.
-- Read this file again after the next night: what was replaced stays for an hour.
SET VARIABLE generation = (
    SELECT getvariable('workspace') || '/' || folder FROM read_json(getvariable('workspace') || '/current/generation.json')
);
SET VARIABLE files = (SELECT coalesce(list(parse_filename(file)), []) FROM glob(getvariable('generation') || '/*.parquet'));
SET VARIABLE folders = (  -- tables in parts
    SELECT coalesce(list(DISTINCT parse_filename(parse_dirpath(file))), []) FROM glob(getvariable('generation') || '/*.parquet/*.parquet')
);

-- All tables of the newest accepted run, and of the newest measurement of accuracy. Those that are not there yet have no rows.

{latest}

-- One row per query encounter: the verdict and how certain it is.
CREATE OR REPLACE VIEW verdicts AS
SELECT n.encounter_id, n.decision, n.individual_id, round(n.probability, 3) AS probability, round(n.p_new, 3) AS p_new,
       n.provisional_individual_id, n.n_photos, n.evidence
FROM latest_novelty n
ORDER BY n.decision, n.encounter_id;

-- What was tried: nights, rebuilds, measurements and changes of the accepted model, also those that failed. `outcome` is done,
-- kept_aside, failed, stopped or killed; an attempt without one is under way, or was killed and nothing was tried since.
SET VARIABLE attempt_files = (
    SELECT [getvariable('workspace') || '/current/generation.json'] || coalesce(list(file), [])
    FROM glob(getvariable('workspace') || '/log/*.jsonl')
);
CREATE OR REPLACE VIEW attempts AS
SELECT attempt, any_value(command) AS command, any_value(night) AS night,
       min("time") FILTER (WHERE event = 'began') AS began_at, min("time") FILTER (WHERE event = 'ended') AS ended_at,
       any_value(outcome) AS outcome, any_value(exit_code) AS exit_code, any_value(sentence) AS sentence,
       any_value(run_id) AS run_id, any_value(host) AS host, any_value("user") AS "user",
       any_value(counts) AS counts, any_value(work) AS work, any_value(seconds) AS seconds
FROM read_json(getvariable('attempt_files'), format = 'newline_delimited', ignore_errors = true, columns = {
    event: 'VARCHAR', attempt: 'VARCHAR', command: 'VARCHAR', night: 'DATE', "time": 'TIMESTAMPTZ', outcome: 'VARCHAR',
    exit_code: 'INTEGER', sentence: 'VARCHAR', run_id: 'VARCHAR', host: 'VARCHAR', "user": 'VARCHAR', counts: 'JSON',
    work: 'JSON', seconds: 'JSON'})
WHERE attempt IS NOT NULL
GROUP BY attempt
ORDER BY began_at DESC;

-- All runs and all attempts that came to no run of their own, newest first; a night that was run again with other inputs has several runs, and
-- `newest_of_night` marks the last. A night on which nothing was new since the run before says so (`nothing_new`).
CREATE OR REPLACE VIEW run_history AS
SELECT run_id, flow, night::DATE AS night, status, started_at, ended_at, model_fingerprint, counts, work,
       row_number() OVER (PARTITION BY flow, night ORDER BY ended_at DESC) = 1 AS newest_of_night, NULL AS sentence
FROM read_parquet(getvariable('workspace') || '/runs/*/runs.parquet', union_by_name = true)
UNION ALL
SELECT NULL, command, night, if(outcome = 'done', 'nothing_new', coalesce(outcome, 'not_ended')), began_at, ended_at, NULL, counts, work, false, sentence
FROM attempts
WHERE (run_id IS NULL OR outcome = 'refused') AND command IN ('nightly', 'rebuild', 'accuracy', 'evaluate', 'compare')
   OR outcome = 'done' AND command = 'nightly' AND run_id NOT LIKE night::VARCHAR || '-%'
ORDER BY started_at DESC;

-- The verdicts on each encounter, run by run; neither those that a measurement gives with names hidden nor those of a past night.
CREATE OR REPLACE VIEW verdict_history AS
SELECT r.night, n.*
FROM read_parquet(getvariable('workspace') || '/runs/*/novelty.parquet', union_by_name = true) n
JOIN run_history r USING (run_id)
WHERE r.flow NOT IN ('accuracy', 'evaluate', 'compare', 'past')
ORDER BY n.encounter_id, r.ended_at;

-- Animals with a confirmed name.
CREATE OR REPLACE VIEW known_animals AS
SELECT individual_id, count(*) AS n_photos, count(DISTINCT encounter_id) AS n_encounters,
       min(taken_on) AS first_seen, max(taken_on) AS last_seen, list(DISTINCT viewpoint ORDER BY viewpoint) AS viewpoints
FROM latest_photos
WHERE individual_id IS NOT NULL AND status = 'ok'
GROUP BY individual_id
ORDER BY individual_id;

-- Encounters per month: confirmed names, and what the system decided about the others.
CREATE OR REPLACE VIEW sightings_per_month AS
WITH encounters AS (
    SELECT p.encounter_id, date_trunc('month', min(p.taken_on)) AS month, max(p.individual_id) AS confirmed
    FROM latest_photos p WHERE p.status = 'ok' GROUP BY p.encounter_id
)
SELECT e.month,
       count(*) AS n_encounters,
       count(e.confirmed) AS n_confirmed,
       count(*) FILTER (WHERE n.decision IN ('known', 'likely')) AS n_identified,
       count(*) FILTER (WHERE n.decision IN ('new', 'likely_new')) AS n_new,
       count(*) FILTER (WHERE n.decision IN ('unsure', 'not_compared')) AS n_open
FROM encounters e LEFT JOIN latest_novelty n USING (encounter_id)
GROUP BY e.month ORDER BY e.month;

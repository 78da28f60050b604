"""The tables themselves. Order of columns is the order in the files."""

import pyarrow as pa

from resight.catalog.schema import Column, Table

S, F64, F32, I32, I64, B = pa.string(), pa.float64(), pa.float32(), pa.int32(), pa.int64(), pa.bool_()
STRINGS = pa.list_(pa.string())
TIME = pa.timestamp("us")
UTC = pa.timestamp("us", tz="UTC")
DAY = pa.date32()

RUN = Column("run_id", S, "run that wrote the row", nullable=False)
STATUS = Column("status", S, "outcome; rows with `ok` or `scored` are usable", nullable=False)
REASON = Column("reason", S, "why the row is not usable; empty if it is")

PHOTOS = Table(
    "photos", 3, "a photo (one content, however many files hold it)", ("photo_id",),
    (
        RUN,
        Column("photo_id", S, "identity from the content: first 20 hex digits of its SHA-256"),
        Column("sha256", S, "SHA-256 of the file; empty if it could not be read"),
        Column("uri", S, "first of `uris`", nullable=False),
        Column("uris", STRINGS, "all files with this content, sorted", nullable=False),
        Column("n_files", I32, "length of `uris`", nullable=False),
        Column("size_bytes", I64, "size of the file", "byte"),
        Column("format", S, "JPEG, PNG, WEBP, TIFF or HEIF"),
        Column("width_px", I32, "width, with the EXIF orientation applied", "px"),
        Column("height_px", I32, "height, with the EXIF orientation applied", "px"),
        Column("exif_orientation", I32, "EXIF orientation 1 to 8; 1 if there is none"),
        Column("taken_at", TIME, "local time at which it was taken, from metadata.csv, otherwise from EXIF"),
        Column("utc_offset", S, "offset of that local time from UTC, e.g. +03:00, from metadata.csv, otherwise from EXIF; missing where neither says it"),
        Column("taken_on", DAY, "day on which it was taken; known in more cases than the time"),
        Column("latitude_deg", F64, "WGS 84 latitude, north positive", "degree"),
        Column("longitude_deg", F64, "WGS 84 longitude, east positive", "degree"),
        Column("camera", S, "make and model from EXIF"),
        Column("encounter_id", S, "encounter: one animal, met once (one day, one place); its photos vote together", nullable=False),
        Column("encounter_source", S, "where encounter_id comes from: metadata, label_and_day, by rule folder_and_time, folder_and_day or photo, "
               "voted_out (the photo spoke against its encounter), or decision (a person has split an encounter)", nullable=False),
        Column("voted_out_of", S, "encounter by rule that the photo spoke against; missing for all others"),
        Column("individual_id", S, "animal, as confirmed by a person in a label file or by a decision, whichever came later; missing if nobody has named it"),
        Column("labelled_individual_id", S, "animal as label files say it; missing where they say nothing, and in tables of before"),
        Column("viewpoint", S, "side of the head that is seen: left, right, top, front, back, unknown", nullable=False),
        Column("role", S, "gallery or query, if the metadata says so"),
        Column("sharpness", F64, "variance of the Laplacian of the grey picture at 512 px; larger is sharper"),
        Column("exposure", F64, "mean grey value of the same picture, 0 black to 1 white"),
        Column("contrast", F64, "standard deviation of its grey value, 0 to 0.5"),
        Column("clipped_fraction", F64, "share of its pixels that are fully black or fully white"),
        Column("first_night", DAY, "night of the run that first saw the photo", nullable=False),
        Column("extra", S, "JSON object with the unknown columns of metadata.csv"),
        STATUS,
        REASON,
        Column("message", S, "one sentence that names the file and what to do; empty if the photo is usable"),
    ),
)  # fmt: skip

CROPS = Table(
    "crops", 1, "an animal found in a photo, or the statement that none was found", ("crop_id",),
    (
        RUN,
        Column("crop_id", S, "identity from photo, segmenter and outline"),
        Column("photo_id", S, "photo it was cut from", nullable=False),
        Column("part", S, "head, body or whole"),
        Column("segmenter", S, "what found it: annotations, head-finder, grabcut, whole, …"),
        Column("viewpoint", S, "side of the head that is seen", nullable=False),
        Column("confidence", F64, "0 to 1; 1 for outlines drawn by people and for whole photos"),
        Column("bbox_x_px", F64, "left edge in the upright photo", "px"),
        Column("bbox_y_px", F64, "top edge in the upright photo", "px"),
        Column("bbox_width_px", F64, "width in the upright photo", "px"),
        Column("bbox_height_px", F64, "height in the upright photo", "px"),
        Column("polygons", S, "outline as JSON: list of polygons, each a list of [x, y] in pixels of the upright photo"),
        Column("upright_rotation_rad", F64, "counter-clockwise rotation that brings the animal upright", "rad"),
        Column("crop_width_px", I32, "width of the stored crop", "px"),
        Column("crop_height_px", I32, "height of the stored crop", "px"),
        Column("crop_scale", F64, "crop pixels per photo pixel"),
        Column("path", S, "stored crop (PNG, alpha is the mask), relative to the workspace"),
        Column("segment_fingerprint", S, "settings and weights of the segmenter and cropper", nullable=False),
        STATUS,
        REASON,
    ),
)  # fmt: skip

FEATURES = Table(
    "features", 1, "a crop's keypoints in the Zarr store", ("crop_id",),
    (
        RUN,
        Column("crop_id", S, "crop"),
        Column("photo_id", S, "photo of the crop", nullable=False),
        Column("n_keypoints", I32, "keypoints kept", nullable=False),
        Column("store", S, "Zarr group, relative to the workspace"),
        Column("store_row", I32, "row in every array of the group"),
        Column("extract_fingerprint", S, "settings and weights of the extractor", nullable=False),
        STATUS,
        REASON,
    ),
)  # fmt: skip

RUN_OF_PART = Column(
    "run_id",
    S,
    "run that wrote the row: this one, or an earlier one where the row is the same as in that",
    nullable=False,
)
PAIR_IDS = (
    Column("query_crop_id", S, "crop of the query photo"),
    Column("gallery_crop_id", S, "crop of the gallery photo that it is compared with"),
    Column("purpose", S, "identify: query against gallery; calibrate: gallery photos against each other, to learn what impostor pairs score, where the run has no "
           "`calibration` among its fingerprints (then they lie in store/calibration); cluster: unknown animals against each other", nullable=False),
)  # fmt: skip

PAIRS = Table(
    "pairs", 7, "a query crop and a gallery crop that were to be matched; what was left out before is in `pairs_left_out`",
    ("query_crop_id", "gallery_crop_id"),
    (
        RUN_OF_PART,
        *PAIR_IDS,
        Column("query_photo_id", S, "photo of the query crop", nullable=False),
        Column("gallery_photo_id", S, "photo of the gallery crop", nullable=False),
        Column("n_keypoints_query", I32, "keypoints of the query crop"),
        Column("n_keypoints_gallery", I32, "keypoints of the gallery crop"),
        Column("n_matches", I32, "mutual matches; all other keypoints of either crop have confidence exactly 0"),
        Column("n_inliers", I32, "matches that agree with one geometric model; missing if none was fitted"),
        Column("agreement", F64, "the matches, each counted by how well its place, size and direction fit one affine map (match.verify.model = affine-graded); missing with other models"),
        Column("confidence_histogram", pa.list_(pa.int32()),
               "mutual matches by confidence in equal bins over (0, 1]; with the keypoint counts it gives the distribution in both directions"),
        Column("confidence_sum", F64, "sum of the confidences"),
        Column("confidence_sum_squares", F64, "sum of their squares"),
        Column("confidence_sum_above_half", F64, "sum of those above 0.5"),
        Column("confidence_max", F64, "largest confidence; 0 if nothing matched"),
        Column("n_above_01", I32, "confidences above 0.1"),
        Column("n_above_05", I32, "confidences above 0.5"),
        Column("log_likelihood_ratio", F64, "minus the sum of log(1 - confidence), confidences limited to 1 - 1e-6"),
        Column("lnbnn", F64, "votes of the query crop's descriptors for the gallery crop; missing if no votes were counted or none was cast"),
        Column("lnbnn_verified", F64, "the votes that agree in rotation, size and place; missing where lnbnn is missing, and for crops beyond the shortlist"),
        Column("cosine", F64, "cosine of the two crops' vectors, 1 for equal directions; missing without vectors"),
        Column("match_fingerprint", S, "settings and weights of the matcher and of the extractor"),
        STATUS,
        REASON,
    ),
    in_parts=True,
)  # fmt: skip

PAIRS_LEFT_OUT = Table(
    "pairs_left_out", 2, "a query crop, and a reason for which gallery crops were not matched with it; with the rows of `pairs` these are all pairs",
    ("query_crop_id", "purpose", "status", "reason"),
    (
        RUN,
        PAIR_IDS[0],
        PAIR_IDS[2],
        Column("query_photo_id", S, "photo of the query crop", nullable=False),
        Column("status", S, "excluded_by_policy, no_features or not_shortlisted"),
        Column("reason", S, "viewpoint, same_encounter, same_photo, other_species and the like; empty where the status says it all"),
        Column("n_left_out", I64, "gallery crops", nullable=False),
    ),
)  # fmt: skip

SCORES = Table(
    "scores", 7, "a scored pair with all its scores", ("query_crop_id", "gallery_crop_id"),
    (
        RUN_OF_PART,
        *PAIR_IDS,
        Column("count", F64, "confidences above 0.1"),
        Column("count_05", F64, "confidences above 0.5"),
        Column("sum", F64, "sum of confidences"),
        Column("sum_01", F64, "sum of confidences above 0.1, from the histogram"),
        Column("sum_05", F64, "sum of confidences above 0.5"),
        Column("mean", F64, "sum divided by the geometric mean of the two keypoint counts"),
        Column("mean_pooled", F64, "mean confidence over all keypoints of both crops"),
        Column("auc", F64, "area under the cumulative curve of the confidences, mean of both crops; small values mean the same animal"),
        Column("area", F64, "one minus mean_pooled: the exact area; small values mean the same animal"),
        Column("wasserstein", F64, "one-sided Wasserstein distance above the null distribution; large values mean the same animal"),
        Column("wasserstein_1", F64, "Wasserstein distance to the null distribution, without sign; not usable for ranking"),
        Column("wasserstein_signed", F64, "mean confidence minus that of the null distribution"),
        Column("wasserstein_2", F64, "Wasserstein-2 distance to the null distribution, with the sign of the difference of the means"),
        Column("energy", F64, "energy distance to the null distribution, with the sign of the difference of the means"),
        Column("ks", F64, "one-sided Kolmogorov-Smirnov statistic above the null distribution"),
        Column("sum_squares", F64, "sum of squared confidences"),
        Column("llr", F64, "minus the sum of log(1 - confidence)"),
        Column("residual", F64, "log(sum + 1) above the mean of impostor pairs with as many keypoints, in standard deviations"),
        Column("snorm", F64, "log(sum + 1) above the mean of the same two crops with other animals, in standard deviations (S-norm)"),
        Column("inliers", F64, "matches that agree with one geometric model (`agreement` of the pair where it has one), plus the mean confidence, which orders equal numbers; missing if no model was fitted"),
        Column("snorm_inliers", F64, "inliers above the mean of the same two crops with other animals, in standard deviations (S-norm); missing if no geometric model was fitted for all pairs"),
        Column("lnbnn", F64, "votes of the query crop's descriptors for the gallery crop; missing if no votes were counted or none was cast"),
        Column("lnbnn_verified", F64, "the votes that agree in rotation, size and place"),
        Column("cosine", F64, "cosine of the two crops' vectors, 1 for equal directions; missing without vectors"),
        Column("fused", F64, "log likelihood ratio of same against different animal from all evidence; missing if fusion was not used"),
        Column("score", F64, "the score used for ranking (settings: score.name), with its sign chosen so that larger means same animal", nullable=False),
        Column("score_name", S, "name of the score in column `score`", nullable=False),
        Column("same_individual", B, "whether both photos are labelled with the same animal; missing if one of them has no label"),
    ),
    in_parts=True,
)  # fmt: skip

IDENTIFICATIONS = Table(
    "identifications", 2, "a candidate for a query", ("level", "query_id", "rank"),
    (
        RUN,
        Column("level", S, "encounter: all its photos together; photo: one photo alone"),
        Column("query_id", S, "encounter_id or photo_id"),
        Column("encounter_id", S, "encounter of the query", nullable=False),
        Column("rank", I32, "1 is best"),
        Column("individual_id", S, "candidate", nullable=False),
        Column("score", F64, "score of the candidate; larger means same animal", nullable=False),
        Column("probability", F64, "probability that it is this animal; the listed candidates, `p_new` and `p_other` of the encounter sum to 1"),
        Column("in_candidate_set", B, "whether it belongs to the set that contains the right animal with novelty.candidate_set_coverage; missing if no coverage can be guaranteed"),
        Column("n_photos", I32, "query photos that could be compared", nullable=False),
        Column("n_pairs", I32, "pairs behind the score; photos of one burst count once", nullable=False),
        Column("best_query_crop_id", S, "crop of the best pair", nullable=False),
        Column("best_gallery_crop_id", S, "crop of the best pair", nullable=False),
        Column("best_query_photo_id", S, "photo of the best pair", nullable=False),
        Column("best_gallery_photo_id", S, "photo of the best pair", nullable=False),
        Column("true_individual_id", S, "label of the query, which an evaluation hides from the ranking"),
    ),
)  # fmt: skip

NOVELTY = Table(
    "novelty", 3, "a query encounter and the verdict on it", ("encounter_id",),
    (
        RUN,
        Column("encounter_id", S, "query encounter"),
        Column("n_photos", I32, "photos of the encounter", nullable=False),
        Column("n_photos_compared", I32, "photos with at least one scored pair", nullable=False),
        Column("decision", S, "known (with the guarantee of novelty.alpha), likely (as probable, but too few animals are known for the guarantee), "
               "new, likely_new (how often a match is missed rests mostly on other places), unsure or not_compared", nullable=False),
        Column("individual_id", S, "most probable candidate; missing if nothing could be compared"),
        Column("probability", F64, "probability that it is this candidate, in view of all encounters of the run"),
        Column("p_new", F64, "probability that it is an animal that is not in the gallery"),
        Column("p_other", F64, "probability that it is an animal of the gallery that is not listed in identifications"),
        Column("p_value", F64, "share of animals, the query among their candidates, whose best wrong score from as many photos is at least as high; of new animals, at most the share x gets x or less"),
        Column("tail_p_value", F64, "p_value from a fitted tail, for scores that few or none of them reached; without a guarantee"),
        Column("best_score", F64, "score of the best candidate"),
        Column("threshold", F64, "best score for which p_value is at most novelty.alpha, were it reached from any number of photos; missing if the gallery is too small to say"),
        Column("provisional_individual_id", S, "provisional name while the animal is neither known nor likely, nor one animal with such an encounter; the same for all encounters that seem to be one animal"),
        Column("candidate_set", STRINGS, "the candidate set, whole: animals of the gallery that the encounter may be; missing if no coverage can be stated"),
        Column("candidate_set_size", I32, "animals in it; 0 says that every animal fits worse than animals that were met again"),
        Column("candidate_set_coverage", F64, "share of encounters whose candidate set contains the right animal, if it is in the gallery and could be compared; missing if none can be stated"),
        Column("n_calibration", I32, "animals that p_value rests on", nullable=False),
        Column("n_needed", I32, "animals with which novelty.alpha can be guaranteed"),
        Column("method", S, "how the probabilities were computed", nullable=False),
        Column("evidence", S, "the reason for the verdict, in a sentence; a second one where another unknown animal, seen from the other side only, may be the same", nullable=False),
        Column("true_individual_id", S, "label, which an evaluation hides"),
        STATUS,
        Column("reason", S, "what stood in the way of comparing: no_usable_head, all_rejected, no_photo_of_that_side, no_comparable_photo, kept_apart, nobody_known or comparing_failed; empty if it was compared"),
    ),
)  # fmt: skip

OUTCOMES = Table(
    "outcomes", 3, "a query of known identity in one trial, and its outcome; every accuracy figure is computed from these rows",
    ("trial", "round", "level", "query_id"),
    (
        RUN,
        Column("trial", S, "closed: its animal is in the gallery; without_own: judged again without its animal; open: whole animals were left out of the gallery; "
               "background: closed, with the animals painted over"),
        Column("round", I32, "0, or the number of the gallery in trial `open`"),
        Column("level", S, "encounter: all its photos together; photo: one photo alone"),
        Column("query_id", S, "encounter_id or photo_id"),
        Column("encounter_id", S, "encounter of the query", nullable=False),
        Column("true_individual_id", S, "label of the query, which an evaluation hides from the ranking"),
        Column("known", B, "whether its animal was in the gallery", nullable=False),
        Column("rank", I32, "rank of its own animal, 1 is best; missing if that was not in the gallery or could not be compared"),
        Column("individual_id", S, "best candidate, of encounters the most probable one; missing if nothing could be compared"),
        Column("correct", B, "whether that is the right animal", nullable=False),
        Column("average_precision", F64, "average precision of the animal's gallery photos in the order of scores; photos only"),
        Column("score_right", F64, "score of its own animal"),
        Column("score_wrong", F64, "score of the best other animal"),
        Column("probability", F64, "probability that it is the best candidate"),
        Column("probabilities", pa.list_(F64), "probability of every candidate that was compared, best first, so that the one at place `rank` is the right one; encounters only"),
        Column("p_new", F64, "probability that it is an animal that is not in the gallery"),
        Column("decision", S, "known, likely, new, likely_new, unsure or not_compared; encounters only"),
        Column("p_value", F64, "as in table novelty; encounters only"),
        Column("novelty", F64, "value that separates new from known: p_new, or minus the best score if no likelihood was fitted; infinite if nothing could be compared"),
        Column("in_candidate_set", B, "whether its animal is in the candidate set; missing if no sets were made"),
        Column("candidate_set_size", I32, "animals in the candidate set"),
        Column("candidate_set_coverage", F64, "share of the sets that should contain the right animal"),
        Column("provisional_individual_id", S, "provisional name while the animal is neither known nor likely; equal names mean one animal"),
        Column("viewpoint", S, "side of the head that is seen; `mixed` if an encounter shows several"),
        Column("visibility", S, "how well the head is visible, from the labels (head_visibility or visibility)"),
        Column("days_between", I32, "days to the nearest gallery photo of its animal", "day"),
        Column("n_gallery_photos", I32, "photos of its animal in the gallery"),
        Column("n_gallery_individuals", I32, "animals in the gallery"),
        Column("n_right_scored", I32, "gallery photos of its animal that it was compared with; photos only"),
        Column("n_right_cut", I32, "gallery photos of its animal that the shortlist left out; photos only"),
        Column("query_crop_id", S, "query crop of the best pair"),
        Column("found_crop_id", S, "gallery crop of the best pair"),
        Column("right_query_crop_id", S, "query crop of the best pair with its own animal"),
        Column("right_crop_id", S, "gallery crop of the best pair with its own animal"),
    ),
)  # fmt: skip

PROVISIONAL = Table(
    "provisional", 2, "an event in the life of a provisional name", ("event_no",),
    (
        RUN,
        Column("event_no", I32, "1 is the first; events are only ever added"),
        Column("night", DAY, "night of the run in which it happened", nullable=False),
        Column("event_run_id", S, "run in which it happened", nullable=False),
        Column("event", S, "created, joined, merged, split, confirmed (a person has named the animal), identified (it is now called known or likely, or is one animal with an encounter that is), "
               "withdrawn (its photos are gone, have another encounter or can no longer be compared), moved (photos have the encounter `into` now: "
               "all of them, or one that spoke against the others)", nullable=False),
        Column("provisional_individual_id", S, "the provisional name", nullable=False),
        Column("encounter_id", S, "the encounter concerned", nullable=False),
        Column("into", S, "merged, split: the name that the encounter has now; confirmed, identified: the animal; moved: the encounter that has this name now"),
    ),
)  # fmt: skip

IDENTITY_DRAWS = Table(
    "identity_draws", 1, "who an encounter is in one of novelty.draws draws from all that is believed; the share of draws in which it is an "
    "animal is the probability of that, to within sampling error", ("draw", "encounter_id"),
    (
        RUN,
        Column("draw", I32, "1 is the first; all rows of a draw belong together"),
        Column("encounter_id", S, "query encounter, or sighting of one where a photo shows several animals (`encounter#crop`)"),
        Column("individual_id", S, "animal of the gallery, or a provisional name; in one draw equal names are one animal", nullable=False),
    ),
)  # fmt: skip

ACCURACY = Table(
    "accuracy", 3, "a metric of a run", ("metric", "stratum"),
    (
        RUN,
        Column("metric", S, "name, e.g. top1_photo"),
        Column("stratum", S, "all, or column=value"),
        Column("value", F64, "value of the metric; missing if it cannot be computed"),
        Column("ci_low", F64, "lower end of the 95 % interval over individuals: exact for shares, otherwise from the bootstrap"),
        Column("ci_high", F64, "upper end"),
        Column("p_worse", F64, "of a group's top 1: how often chance makes any of the groups as bad against the rest; corrected for their number"),
        Column("n", I64, "number of queries that it rests on", nullable=False),
        Column("unit", S, "share, second, score or count", nullable=False),
        Column("protocol", S, "how gallery and queries were split", nullable=False),
        Column("n_individuals", I64, "number of animals that it rests on"),
        Column("missing_because", S, "why there is no value; empty if there is one"),
    ),
)  # fmt: skip

ACCURACY_CURVES = Table(
    "accuracy_curves", 1, "a point of a curve", ("curve", "series", "point"),
    (
        RUN,
        Column("curve", S, "cmc, reliability, scores, days_between or gallery_size"),
        Column("series", S, "name of the line, e.g. photo or encounter"),
        Column("point", I32, "number of the point along the line"),
        Column("x_low", F64, "lower end of the bin, or the position itself"),
        Column("x_high", F64, "upper end of the bin, or the position itself; missing if the bin is open"),
        Column("x", F64, "position on the axis; for bins the mean of the values in it", nullable=False),
        Column("y", F64, "height; missing if the bin is empty"),
        Column("ci_low", F64, "lower end of the 95 % interval over individuals: exact for shares, otherwise from the bootstrap"),
        Column("ci_high", F64, "upper end"),
        Column("p_worse", F64, "of a group's top 1: how often chance makes any of the groups as bad against the rest; corrected for their number"),
        Column("n", I64, "number of queries that it rests on", nullable=False),
    ),
)  # fmt: skip

ACCURACY_DIFFERENCES = Table(
    "accuracy_differences", 1, "a metric of this run minus the same metric of an earlier run, on the queries that both have", ("metric",),
    (
        RUN,
        Column("against_run_id", S, "the earlier run", nullable=False),
        Column("metric", S, "name, e.g. top1_photo"),
        Column("old_value", F64, "value of the earlier run, on the common queries"),
        Column("new_value", F64, "value of this run, on the common queries"),
        Column("difference", F64, "new minus old"),
        Column("ci_low", F64, "lower end of the 95 % interval over individuals: exact for shares, otherwise from the bootstrap"),
        Column("ci_high", F64, "upper end"),
        Column("p_worse", F64, "of a group's top 1: how often chance makes any of the groups as bad against the rest; corrected for their number"),
        Column("n", I64, "number of queries that it rests on", nullable=False),
        Column("n_gained", I64, "queries that only the new run answers correctly; top-1 metrics only"),
        Column("n_lost", I64, "queries that only the earlier run answers correctly; top-1 metrics only"),
        Column("p_value_mcnemar", F64, "exact two-sided sign test of gained against lost; top-1 metrics only"),
        Column("unit", S, "share, second, score or count", nullable=False),
    ),
)  # fmt: skip

CHANGES = Table(
    "changes", 1, "a query whose best candidate differs from that in an earlier run", ("level", "query_id"),
    (
        RUN,
        Column("against_run_id", S, "the earlier run", nullable=False),
        Column("level", S, "encounter: all its photos together; photo: one photo alone"),
        Column("query_id", S, "encounter_id or photo_id"),
        Column("encounter_id", S, "encounter of the query", nullable=False),
        Column("true_individual_id", S, "label of the query, which an evaluation hides from the ranking"),
        Column("outcome", S, "gained (only the new run is right), lost (only the earlier one is) or still_wrong", nullable=False),
        Column("old_individual_id", S, "best candidate of the earlier run"),
        Column("new_individual_id", S, "best candidate of this run"),
        Column("old_probability", F64, "probability of the earlier run's best candidate"),
        Column("new_probability", F64, "probability of this run's best candidate"),
        Column("query_crop_id", S, "query crop of the best pair"),
        Column("old_crop_id", S, "gallery crop of the earlier run's best pair"),
        Column("new_crop_id", S, "gallery crop of this run's best pair"),
    ),
)  # fmt: skip


def _measured(metric: str, meaning: str) -> tuple[Column, ...]:
    return (
        Column(metric, F64, f"{meaning}; missing if it cannot be computed"),
        Column(f"{metric}_low", F64, f"lower end of the 95 % bootstrap interval of {metric}, individuals resampled"),
        Column(f"{metric}_high", F64, f"upper end of the interval of {metric}"),
    )


COMPARISON = Table(
    "comparison", 1, "a method on the labelled folder of a run of `resight compare`", ("method",),
    (
        RUN,
        Column("method", S, "name, as in `--methods`"),
        Column("title", S, "name as shown in tables and charts", nullable=False),
        Column("family", S, "what it compares: local (keypoints), votes (single descriptors), dense, global (one vector), pixels", nullable=False),
        Column("status", S, "ok, missing_weights, failed, or left_out by `--quick`", nullable=False),
        Column("reason", S, "why there are no figures, and what to do about it; empty if there are figures"),
        Column("note", S, "what to know about the figures, e.g. how an embedding was trained"),
        *_measured("top1_photo", "share of query photos whose first candidate is the right animal"),
        *_measured("top3_photo", "share of query photos with the right animal among the first 3"),
        *_measured("top5_photo", "share of query photos with the right animal among the first 5"),
        *_measured("top1_encounter", "share of query encounters whose first candidate is the right animal"),
        *_measured("top3_encounter", "share of query encounters with the right animal among the first 3"),
        *_measured("top5_encounter", "share of query encounters with the right animal among the first 5"),
        *_measured("map_photo", "mean average precision over gallery photos"),
        *_measured("novelty_auroc", "how well known animals are separated from new ones, per encounter (area under the ROC curve)"),
        Column("n_photos", I32, "query photos that the figures per photo rest on"),
        Column("n_encounters", I32, "query encounters that the figures per encounter rest on"),
        Column("n_gallery_photos", I32, "gallery photos"),
        Column("n_gallery_individuals", I32, "animals in the gallery"),
        Column("seconds_per_query", F64, "extraction and comparison with the whole gallery, per query photo: CPU time of one core, wall time on a GPU", "s"),
        Column("seconds_extract", F64, "of these, extraction: from the crop to features", "s"),
        Column("seconds_match", F64, "of these, comparison with the gallery, whose features exist already", "s"),
        Column("pairs_per_query", F64, "gallery crops that a query photo is compared with, on average"),
        Column("n_timed", I64, "query photos on which the seconds were measured"),
        Column("device", S, "cpu, cuda or mps"),
        Column("protocol", S, "how gallery and queries were split"),
        Column("weights", S, "JSON: SHA-256 of each weights file"),
        Column("fingerprint", S, "name made from photos, crops, split, settings and weights; rows with equal fingerprints are computed once"),
    ),
)  # fmt: skip

DECISIONS = Table(
    "decisions", 1, "a decision of a person; the log in `decisions/` of the workspace, as it was when the run began", ("decision_id",),
    (
        RUN,
        Column("decision_id", S, "made from everything that the decision says"),
        Column("decided_at", UTC, "when it was decided; later decisions count", "UTC", nullable=False),
        Column("decided_by", S, "who", nullable=False),
        Column("kind", S, "confirm, new, same_as (one animal with another encounter), reject (it is not that animal), split, cannot_tell, bad_crop, not_a_head, "
               "does_not_belong, side, rename, merge, apart (two names are two animals), second_opinion (asked for) or undo", nullable=False),
        Column("is_active", B, "whether nobody has undone it", nullable=False),
        Column("conflict", S, "what a label file says otherwise, and which of the two counts; empty if they agree"),
        Column("encounter_id", S, "what the encounter was called when it was decided on"),
        Column("decided_photo_ids", STRINGS, "photos that it is about, by content"),
        Column("individual_id", S, "the animal; for rename and merge the name that ends, for apart one of the two names"),
        Column("into", S, "rename and merge: the name that stays; apart: the other name"),
        Column("parts", S, "split: JSON, the photo_ids of each animal"),
        Column("viewpoint", S, "side: the side of the head that is seen"),
        Column("crop_box_px", pa.list_(F64), "crop that is meant: x, y, width, height in the upright photo; all crops of the photo if missing", "px"),
        Column("box_px", pa.list_(F64), "bad_crop: where the head really is", "px"),
        Column("undoes", S, "undo: decision_id of the decision that no longer counts"),
        Column("seen_run_id", S, "run that was looked at"),
        Column("model_fingerprint", S, "model of that run"),
        Column("evidence", S, "JSON: what was shown, candidates with probabilities and fitting points"),
        Column("note", S, "in the person's own words"),
    ),
)  # fmt: skip

RUNS = Table(
    "runs", 4, "a run", ("run_id",),
    (
        RUN,
        Column("flow", S, "nightly, past, rebuild, accuracy, evaluate, compare or demo", nullable=False),
        Column("night", DAY, "night of the run", nullable=False),
        Column("status", S, "accepted, kept_aside: computed, but not published, or past: the view of a night of the past (`nightly --as-of`)", nullable=False),
        Column("reason", S, "why a night or a rebuild is kept aside, or what `--accept` has overruled; empty otherwise"),
        Column("started_at", UTC, "start", "UTC", nullable=False),
        Column("ended_at", UTC, "end", "UTC", nullable=False),
        Column("resight_version", S, "version of this program", nullable=False),
        Column("model_fingerprint", S, "name of the model: segmenter, extractor, matcher, score and weights together", nullable=False),
        Column("fingerprints", S, "JSON: fingerprint of each stage", nullable=False),
        Column("weights", S, "JSON: weights file and SHA-256 of each", nullable=False),
        Column("settings", S, "JSON: all settings", nullable=False),
        Column("versions", S, "JSON: Python and package versions", nullable=False),
        Column("device", S, "device on which the networks ran", nullable=False),
        Column("counts", S, "JSON: per stage, how many items came in and how many ended with which status", nullable=False),
        Column("work", S, "JSON: what this run computed and did not read from the store (photos decoded, crops cut, features, pairs)", nullable=False),
    ),
)  # fmt: skip

TABLES = (
    PHOTOS, CROPS, FEATURES, PAIRS, PAIRS_LEFT_OUT, SCORES, IDENTIFICATIONS, NOVELTY, PROVISIONAL, IDENTITY_DRAWS,
    OUTCOMES, ACCURACY, ACCURACY_CURVES, ACCURACY_DIFFERENCES, CHANGES, COMPARISON, DECISIONS, RUNS,
)  # fmt: skip
_BY_NAME = {one.name: one for one in TABLES}


def table(name: str) -> Table:
    """The table of that name."""
    return _BY_NAME[name]

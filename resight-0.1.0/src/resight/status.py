"""How every photo, crop, feature set and pair ends. A status says whether it is usable, a reason says why not."""

from enum import StrEnum

ACCEPTED = "accepted"  # of a run: published
KEPT_ASIDE = "kept_aside"  # computed, but not published
PAST = "past"  # the view of a night of the past; never published
FAILED = "failed"  # of a crop, feature set, pair or photo: not kept, so that the next run tries again


class PhotoStatus(StrEnum):
    OK = "ok"
    REJECTED = "rejected"


class PhotoReason(StrEnum):
    EMPTY_FILE = "empty_file"
    NOT_AN_IMAGE = "not_an_image"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"
    TOO_SMALL = "too_small"
    DECOMPRESSION_BOMB = "decompression_bomb"
    UNREADABLE = "unreadable"
    TAKEN_OUT = "taken_out"


class EncounterSource(StrEnum):
    """Where the encounter of a photo comes from."""

    METADATA = "metadata"
    LABEL_AND_DAY = "label_and_day"
    FOLDER_AND_TIME = "folder_and_time"
    FOLDER_AND_DAY = "folder_and_day"
    PHOTO = "photo"
    VOTED_OUT = "voted_out"
    DECISION = "decision"  # a person has split an encounter


BY_RULE = frozenset({EncounterSource.FOLDER_AND_TIME, EncounterSource.FOLDER_AND_DAY})  # nobody has said so


class CropStatus(StrEnum):
    OK = "ok"
    PHOTO_REJECTED = "photo_rejected"
    NO_ANNOTATION = "no_annotation"
    NO_HEAD = "no_head"
    TOO_SMALL = "too_small"
    TAKEN_OUT = "taken_out"
    FAILED = "failed"


class FeatureStatus(StrEnum):
    OK = "ok"
    NO_CROP = "no_crop"
    NO_KEYPOINTS = "no_keypoints"
    FAILED = "failed"


class PairStatus(StrEnum):
    SCORED = "scored"
    EXCLUDED_BY_POLICY = "excluded_by_policy"
    NOT_SHORTLISTED = "not_shortlisted"
    NO_FEATURES = "no_features"
    FAILED = "failed"


class PairReason(StrEnum):
    SAME_PHOTO = "same_photo"
    SAME_ENCOUNTER = "same_encounter"
    SAME_DAY = "same_day"
    VIEWPOINT = "viewpoint"
    HALVED = "halved"


class Viewpoint(StrEnum):
    LEFT = "left"
    RIGHT = "right"
    TOP = "top"
    FRONT = "front"
    BACK = "back"
    UNKNOWN = "unknown"


class Decision(StrEnum):
    """The verdict on an encounter: with the guarantee of ``novelty.alpha`` (known), or as its probability says."""

    KNOWN = "known"
    LIKELY = "likely"
    NEW = "new"
    LIKELY_NEW = "likely_new"
    UNSURE = "unsure"
    NOT_COMPARED = "not_compared"


NAMED = frozenset({Decision.KNOWN, Decision.LIKELY})
CALLED_NEW = frozenset({Decision.NEW, Decision.LIKELY_NEW})

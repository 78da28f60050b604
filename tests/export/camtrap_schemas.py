"""What Camtrap DP 1.0 asks of its three tables, written down from https://camtrap-dp.tdwg.org/data as Table Schemas.

The standard's own schemas lie behind the addresses in ``datapackage.json``; tests must not need a network.
"""

from typing import Any

WHEN = {"type": "datetime", "format": "%Y-%m-%dT%H:%M:%S%z"}
REQUIRED = {"required": True}


def _field(name: str, required: bool = False, **more: Any) -> dict[str, Any]:
    constraints = more.pop("constraints", {}) | ({"required": True} if required else {})
    return {"name": name, "type": "string"} | more | ({"constraints": constraints} if constraints else {})


def _number(name: str, low: float, high: float, required: bool = False) -> dict[str, Any]:
    return _field(name, required, type="number", constraints={"minimum": low, "maximum": high})


def _choice(name: str, *values: str, required: bool = False) -> dict[str, Any]:
    return _field(name, required, constraints={"enum": list(values)})


def _to(resource: str, field: str) -> dict[str, Any]:
    return {"fields": [field], "reference": {"resource": resource, "fields": [field]}}


SCHEMAS: dict[str, dict[str, Any]] = {
    "deployments": {
        "fields": [
            _field("deploymentID", True, constraints={"unique": True}), _field("locationName"), _number("latitude", -90, 90, True),
            _number("longitude", -180, 180, True), _field("deploymentStart", True, **WHEN), _field("deploymentEnd", True, **WHEN),
            _field("timestampIssues", type="boolean"), _field("deploymentComments"),
        ],
        "primaryKey": ["deploymentID"],
    },
    "media": {
        "fields": [
            _field("mediaID", True, constraints={"unique": True}), _field("deploymentID", True), _field("timestamp", True, **WHEN),
            _field("filePath", True, constraints={"pattern": r"^(?=^[^./~])(^((?!\.{2}).)*$).*$"}), _field("filePublic", True, type="boolean"),
            _field("fileName"), _field("fileMediatype", True, constraints={"pattern": "^(image|video|audio)/.*$"}), _field("mediaComments"),
        ],
        "primaryKey": ["mediaID"],
        "foreignKeys": [_to("deployments", "deploymentID")],
    },
    "observations": {
        "fields": [
            _field("observationID", True, constraints={"unique": True}), _field("deploymentID", True), _field("eventID"),
            _field("eventStart", True, **WHEN), _field("eventEnd", True, **WHEN), _choice("observationLevel", "media", "event", required=True),
            _choice("observationType", "animal", "human", "vehicle", "blank", "unknown", "unclassified", required=True),
            _field("scientificName"), _field("count", type="integer", constraints={"minimum": 1}), _field("individualID"),
            _choice("classificationMethod", "human", "machine"), _field("classifiedBy"), _number("classificationProbability", 0, 1),
            _field("observationTags"), _field("observationComments"),
        ],
        "primaryKey": ["observationID"],
        "foreignKeys": [_to("deployments", "deploymentID")],
    },
}  # fmt: skip

"""Accepted models: which segmenter, extractor, matcher, score and weights speak for this workspace."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resight.errors import DamagedError, SettingsError, WorkspaceError
from resight.settings import DEFAULT_KIND, Settings, settings_from
from resight.store.damage import MISSING, set_aside
from resight.store.fingerprint import fingerprint
from resight.store.generations import POINTER, current_generation
from resight.store.listing import matching
from resight.store.publication import publish_generation
from resight.store.runs import run_record
from resight.store.sealed import read_json, write_json
from resight.store.tables import read_table
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

ONLY_DECIDE = frozenset({"alpha", "decide_known", "decide_new", "without_guarantee", "candidate_coverage"})


@dataclass(frozen=True)
class Model:
    """A model: what changes results, under one name.

    Attributes:
        fingerprint: Its name.
        part: `Settings.model_part`.
        weights: SHA-256 by weights name.
    """

    fingerprint: str
    part: dict[str, Any]
    weights: dict[str, str]

    def describe(self) -> str:
        """One line for people."""
        files = f" ({', '.join(sorted(Path(name).name for name in self.weights))})" if self.weights else ""
        kinds = f"{self.part['extract']['kind']} + {self.part['match']['kind']}"
        return f"{kinds}{files}, score {self.part['score']['name']}"


def weight_names(settings: Settings) -> list[str]:
    """Weights that these settings load."""
    names: list[str] = settings.segment.weight_names() + settings.extract.weight_names()
    names += settings.match.weight_names_for(settings.extract.family)
    return names + settings.embed.weight_names()


def weights_of(workspace: Workspace, settings: Settings) -> WeightStore:
    """The weights that the settings of a workspace point to, and those of its models wherever they lie now."""
    known = {(name, digest) for model in list_models(workspace) for name, digest in model.weights.items()}
    return settings.weight_store(workspace.root, sorted(known))


def model_of(settings: Settings, weights: WeightStore, workspace: Workspace | None) -> Model:
    """The model that the settings describe; if it is registered in ``workspace``, under whatever name, that one.

    Raises:
        WeightsError: A file is missing or wrong.
    """
    digests = dict(weights.digests(weight_names(settings)))
    part, contents = settings.model_part(), sorted(digests.values())
    for model in list_models(workspace) if workspace else []:
        if sorted(model.weights.values()) == contents and _means(model, settings):
            return model
    return Model(fingerprint("model", settings.standing_for_part("model"), contents), part, digests)


def _means(model: Model, settings: Settings) -> bool:
    """Whether a model, which may be of an earlier version, is what the settings describe."""
    its_own = _as_now(model, settings)
    return its_own is not None and its_own.model_part() == settings.model_part()


def matches_as(model: Model, settings: Settings) -> bool:
    """Whether a model, which may be of an earlier version, matches photos as the settings say."""
    its_own = _as_now(model, settings)
    return its_own is not None and bool(its_own.match == settings.match)


def _as_now(model: Model, settings: Settings) -> Settings | None:
    """`with_model`; None where the model rests on a setting or a plug-in that is gone."""
    try:
        return with_model(settings, model)
    except SettingsError:
        return None


def with_model(settings: Settings, model: Model) -> Settings:
    """The settings with everything that belongs to the model taken from ``model``.

    Raises:
        SettingsError: The model rests on the changed value of a setting that is gone.
    """
    gone: list[str] = []
    sections = _with_sections(model.part)
    rest = settings.part("run", "execution")
    for name in DEFAULT_KIND.keys() & rest.keys():
        if sections[name]["kind"] != getattr(settings, name).kind:
            del rest[name]
    merged = rest | {name: rest.get(name, {}) | values for name, values in sections.items()}
    taken = settings_from(merged, f"model {model.fingerprint}", stored=True, say=gone.append)
    if gone:
        raise SettingsError(" ".join(gone) + " Run `resight rebuild` to compare and accept a model without it.")
    return taken


def _with_sections(part: Mapping[str, Any]) -> dict[str, Any]:
    """``part`` as `Settings.model_part` has it now.

    Until 2026-11-28 the policy on viewpoints had a key of its own, and limits that only decide belonged to the model.
    """
    sections = dict(part)
    if "novelty" in sections:
        sections["novelty"] = {k: v for k, v in sections["novelty"].items() if k not in ONLY_DECIDE}
    policy = sections.pop("viewpoint_policy", None)
    return sections if policy is None else sections | {"pairs": {"viewpoint": policy}}


def current_model(workspace: Workspace) -> Model | None:
    """The accepted model, or None before the first run.

    Raises:
        DamagedError: Its file is lost, and no run was made with it.
    """
    generation = current_generation(workspace)
    if generation is None or generation.model is None:
        return None
    named = [model for model in list_models(workspace) if model.fingerprint == generation.model]
    return named[0] if named else _of_runs(workspace, generation.model)


def _of_runs(workspace: Workspace, name: str) -> Model:
    """A model whose file is lost, from the settings of a run that it made; registered again.

    Raises:
        DamagedError: No run was made with it.
    """
    for record in _records(workspace):
        if record["model_fingerprint"] == name:
            settings = settings_from(record["settings"], f"run of {record['night']}", stored=True)
            model = Model(name, settings.model_part(), record["weights"])
            register(workspace, model)
            return model
    path = workspace.models / f"{name}.json"
    raise DamagedError(path, MISSING, "no run was made with it; put it back from a backup, or run `resight rebuild`")


def _records(workspace: Workspace) -> list[dict[str, Any]]:
    """What runs say of themselves, the newest first; damaged ones are left out."""
    records = []
    for file in matching(workspace.runs, "[!.]*/runs.parquet"):
        with suppress(DamagedError):
            records.append(run_record(read_table(file, "runs")))
    return sorted(records, key=lambda record: record["ended_at"], reverse=True)


def load_again(workspace: Workspace, name: str) -> Model:
    """A model whose file is lost, from a run that was made with it; registered again.

    Raises:
        DamagedError: No run was made with it.
    """
    return _of_runs(workspace, name)


def load_model(workspace: Workspace, name: str) -> Model:
    """A registered model by (the beginning of) its fingerprint.

    Raises:
        WorkspaceError: None or several fit.
    """
    models = list_models(workspace)
    fitting = [model for model in models if model.fingerprint.startswith(name)]
    if len(fitting) != 1:
        names = ", ".join(model.fingerprint for model in models) or "none"
        raise WorkspaceError(f"{len(fitting)} models have a name that begins with '{name}'; there are: {names}.")
    return fitting[0]


def list_models(workspace: Workspace) -> list[Model]:
    """All registered models, by fingerprint."""
    files = matching(workspace.models, "*.json")
    models = []
    for file in files:
        if file.name != POINTER:
            try:
                models.append(Model(**read_json(file)))
            except DamagedError as damage:
                set_aside(damage, "it is made again from a run, where one was made with it")
            except TypeError:
                set_aside(
                    DamagedError(file, "it describes no model"),
                    "it is made again from a run, where one was made with it",
                )
    return models


def register(workspace: Workspace, model: Model) -> None:
    """Keep a model so that it can be promoted later."""
    write_json(workspace.models / f"{model.fingerprint}.json", asdict(model))


def promote(workspace: Workspace, model: Model) -> None:
    """Make ``model`` the accepted one, which `nightly` uses from now on. Call it with the workspace locked."""
    register(workspace, model)
    publish_generation(workspace, model=model.fingerprint)


def settle(workspace: Workspace, wanted: Settings, weights: WeightStore, explicit: bool) -> tuple[Settings, Model, str]:
    """Which model tonight's run uses: the accepted one, or on the first night that of the settings.

    Args:
        explicit: The command line names parts of the model, so that using another one would be a surprise.

    Returns:
        Settings, model, and a sentence for people where the two differ ('' otherwise).

    Raises:
        SettingsError: Named explicitly and not the accepted one, or the accepted one's weights have changed.
    """
    accepted = current_model(workspace)
    if accepted is None:
        return wanted, model_of(wanted, weights, workspace), ""
    settings = with_model(wanted, accepted)
    digests = weights.digests(weight_names(settings))
    if sorted(digests.values()) != sorted(accepted.weights.values()):
        raise SettingsError(
            f"The weights of the accepted model {accepted.fingerprint} have changed on disk (was {accepted.weights}, is {digests}); "
            "run `resight rebuild` to compare and accept the new ones, or put the old files back."
        )
    if wanted.model_part() == settings.model_part():
        return settings, accepted, ""
    sentence = (
        f"The settings ask for another model than the accepted one ({accepted.fingerprint}: {accepted.describe()}); "
        "run `resight rebuild` to compare the two and to accept the better one."
    )
    if explicit:
        raise SettingsError(sentence)
    return settings, accepted, sentence + " This run uses the accepted one."

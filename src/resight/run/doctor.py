"""`resight doctor`: is everything there that the settings ask for?"""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version

from resight.errors import ResightError
from resight.plugins.registry import EXTRACTORS, MATCHERS, SCORES, SEGMENTERS
from resight.run.models import current_model, weight_names, weights_of, with_model
from resight.runner.handshake import Needs, refusal
from resight.runner.runner import Runner
from resight.settings import Settings, load_settings
from resight.settings.layers import SETTINGS_FILE
from resight.store.workspace import Workspace
from resight.weights.store import WeightStore

LEAST_FREE_GB = 2.0
PACKAGES = ("prefect", "dask", "torch", "kornia", "zarr", "pyarrow")
DRIVERS = {"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gs"), "gcs": ("gcsfs", "gs")}  # and the extra that installs it


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    what: str
    ok: bool
    says: str


def examine(workspace: Workspace) -> list[Finding]:
    """All findings; the settings come first, since everything else depends on them."""
    try:
        settings = load_settings(workspace.root)
    except ResightError as error:
        return [Finding("settings", False, str(error))]
    file = workspace.root / SETTINGS_FILE
    says = (
        str(file)
        if file.exists()
        else f"{file} is not there, so all settings are the defaults; `resight init` writes one"
    )
    return [Finding("settings", True, says), *_findings(workspace, settings)]


def _findings(workspace: Workspace, settings: Settings) -> Iterator[Finding]:
    yield Finding("packages", True, ", ".join(f"{package} {version(package)}" for package in PACKAGES))
    yield _folder(workspace)
    yield from (_source(workspace, s) for s in settings.ingest.sources)
    store = replace(weights_of(workspace, settings), allow_download=False)
    yield from (_weights(store, name) for name in weight_names(settings))
    yield _device(settings)
    yield from _dask(workspace, settings)
    yield _model(workspace, settings)
    yield _plug_ins()


def _folder(workspace: Workspace) -> Finding:
    writable = os.access(workspace.root, os.W_OK)
    free_gb = shutil.disk_usage(workspace.root).free / 1e9
    says = f"{workspace.root}, {'writable' if writable else 'NOT writable'}, {free_gb:.0f} GB free"
    return Finding("workspace", writable and free_gb >= LEAST_FREE_GB, says)


def _source(workspace: Workspace, source: str) -> Finding:
    if "://" in source:
        driver, extra = DRIVERS.get(source.split("://")[0], ("", ""))
        ok = not driver or importlib.util.find_spec(driver) is not None
        return Finding("photos", ok, source if ok else f"{source} needs {driver}: pip install 'resight[{extra}]'")
    path = workspace.root / source
    ok = path.exists() or any(c in source for c in "*?[")
    return Finding("photos", ok, f"{path}" if ok else f"{path} is not there; make it, or change ingest.sources")


def _weights(store: WeightStore, name: str) -> Finding:
    try:
        file = store.find(name)
    except ResightError as error:
        return Finding("weights", False, str(error))
    licence = file.licence or "licence not known"
    where = name if name == str(file.path) else f"{name}: {file.path}"
    return Finding("weights", True, f"{where}, sha256 {file.sha256[:12]}…, {licence}")


def _device(settings: Settings) -> Finding:
    import torch

    device = settings.device
    is_here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}[device]
    return Finding(
        "device", is_here or bool(settings.dask.address), device if is_here else f"{device} is not on this machine"
    )


def _dask(workspace: Workspace, settings: Settings) -> Iterator[Finding]:
    """Workers of somebody else's cluster, each asked what a run asks them before it gives them work."""
    address = settings.dask.address
    if not address:
        yield Finding("workers", True, f"on this machine ({settings.dask.mode})")
        return
    needs = Needs(workspace.store, weights_of(workspace, settings), tuple(sorted(weight_names(settings))), alone=False)
    try:
        with Runner(settings.dask, settings.device, quiet=True, needs=needs) as runner:
            differences = runner.differences()
    except (ResightError, OSError) as error:
        yield Finding("workers", False, str(error))
        return
    agree = sorted(worker for worker, told in differences.items() if not told)
    if not differences:
        yield Finding(
            "workers", False, f"The scheduler at {address} has no worker (`dask worker {address} --nthreads 1`)"
        )
    elif agree:
        same = "same code, packages, weights and workspace"
        yield Finding(
            "workers", True, f"{address}, {len(agree)} of {len(differences)} agree ({same}): {', '.join(agree)}"
        )
    yield from (
        Finding("workers", False, refusal(worker, told)) for worker, told in sorted(differences.items()) if told
    )


def _model(workspace: Workspace, settings: Settings) -> Finding:
    accepted = current_model(workspace)
    if accepted is None:
        return Finding("model", True, "none accepted yet; the first `resight nightly` accepts what the settings say")
    same = with_model(settings, accepted).model_part() == settings.model_part()
    other = "" if same else "; the settings ask for another one: `resight rebuild`"
    return Finding("model", True, f"{accepted.fingerprint}: {accepted.describe()}{other}")


def _plug_ins() -> Finding:
    stages = {"segment": SEGMENTERS, "extract": EXTRACTORS, "match": MATCHERS, "score": SCORES}
    try:
        choices = [f"{stage} {', '.join(registry)}" for stage, registry in stages.items()]
    except ResightError as error:
        return Finding("choices", False, str(error))
    return Finding("choices", True, "; ".join(choices))

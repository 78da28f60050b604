"""The way to somebody else's scheduler, encrypted where certificates are given."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from resight.errors import DeviceError, SettingsError
from resight.runner.params import DaskParams

log = logging.getLogger("resight")
LOOK_S = 0.5
TLS = ("tls_ca", "tls_cert", "tls_key")


def client_at(dask: DaskParams) -> Any:
    """A client of the scheduler at ``dask.address``.

    Raises:
        DeviceError: Nobody answers there.
        SettingsError: A certificate is missing.
    """
    from distributed import Client

    security = _security(dask)
    encrypted = {"security": security} if security else {}
    try:
        return Client(dask.address, timeout=20, **encrypted)
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        cure = "check that it speaks TLS with these certificates" if security else "start one"
        raise DeviceError(
            f"No Dask scheduler answers at {dask.address} ({error}); {cure}, or set dask.address = '' to use this machine."
        ) from None


def _security(dask: DaskParams) -> Any:
    """What Dask calls the three files; None without them: Dask's own configuration then decides."""
    paths = {name: str(getattr(dask, name)) for name in TLS}
    if not any(paths.values()):
        return None
    for name, path in paths.items():
        if not path:
            raise SettingsError(f"dask.{name} is empty, but TLS needs all three: set dask.{', dask.'.join(TLS)}.")
        if not Path(path).expanduser().is_file():
            raise SettingsError(
                f"dask.{name} = '{path}' is not there; correct the path (see how-to: run on a cluster)."
            )
    if not dask.address.startswith("tls://"):
        raise SettingsError(
            f"dask.address = '{dask.address}' is not encrypted; with dask.tls_ca it begins with tls://."
        )
    from distributed.security import Security

    ca, cert, key = (str(Path(path).expanduser()) for path in paths.values())
    return Security(require_encryption=True, tls_ca_file=ca, tls_client_cert=cert, tls_client_key=key)


def require_gpu(client: Any, patience_s: float = 0.0) -> None:
    """Refuse before the fan-out, where no worker with a GPU joins in time.

    Raises:
        DeviceError: No worker offers a GPU.
    """
    end, told = time.monotonic() + patience_s, False
    while not _has_gpu(client):
        if time.monotonic() >= end:
            raise DeviceError(
                "device = 'cuda', but no Dask worker offers a GPU; start one per GPU with "
                "`CUDA_VISIBLE_DEVICES=0 dask worker ADDRESS --nworkers 1 --nthreads 1 --resources GPU=1`, or set device = 'cpu'."
            )
        if not told:
            told = True
            log.warning("No worker offers a GPU yet; waiting up to %.0f s for one.", patience_s)
        time.sleep(LOOK_S)


def _has_gpu(client: Any) -> bool:
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return any(worker.get("resources", {}).get("GPU", 0) >= 1 for worker in workers)


def quiet_dask() -> None:
    """Dask tells every comm that it opens and closes; only what is wrong is worth a line."""
    import dask

    dask.config.set({"logging.distributed": "error"})
    import distributed  # noqa: F401  (sets its own level when it is imported)

    if log.getEffectiveLevel() > logging.DEBUG:
        logging.getLogger("distributed").setLevel(logging.ERROR)

"""The bill of materials of Resight as CycloneDX JSON: `make sbom`.

From the locks: every package with version, digests of its files, licence, and what requires what. Packages for the
image are ``required``, those for tests, pages and checks ``excluded``, those of the CUDA build of torch ``optional``.
The bundled weights are components of their own, with digest, licence and the photos that they were trained on.
"""

import argparse
import hashlib
import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from licences import licence_of
from packageurl import PackageURL
from pins import DEVELOPMENT, ROOT, RUNTIME, TORCH_CPU, TORCH_CUDA, Pin, read

WEIGHTS = "src/resight/**/*.safetensors"


def bill() -> Bom:
    """The bill of what the locks and the package hold."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bom = Bom()
    root = Component(
        name=project["name"],
        version=project["version"],
        type=ComponentType.APPLICATION,
        bom_ref=project["name"],
        licenses=[LicenseFactory().make_from_string(project["license"])],
    )
    bom.metadata.component = root
    made = {(pin.name, pin.version): (pin, _package(pin, scope)) for pin, scope in _scoped_pins()}
    for _, component in made.values():
        bom.components.add(component)
    cuda = {pin.name for pin in read(TORCH_CUDA)}
    for pin, component in made.values():
        requirers = [
            above for above, _ in made.values() if above.name in pin.required_by and _may_need(above, pin, cuda)
        ]
        for above in requirers:
            bom.register_dependency(made[above.name, above.version][1], [component])
        if not requirers or project["name"] in pin.required_by:
            bom.register_dependency(root, [component])
    for file in sorted(ROOT.glob(WEIGHTS)):
        weights = _weights(file)
        bom.components.add(weights)
        bom.register_dependency(root, [weights])
    return bom


def _may_need(above: Pin, pin: Pin, cuda: set[str]) -> bool:
    """No CPU build of torch needs the libraries of CUDA."""
    return pin.name not in cuda or not above.version.endswith("+cpu")


def _scoped_pins() -> Iterator[tuple[Pin, ComponentScope]]:
    """Every pin once, with the strongest reason for it; the two builds of one version of torch count as two."""
    needed = {(pin.name, pin.version) for path in (RUNTIME, TORCH_CPU) for pin in read(path)}
    seen = set()
    for path, scope in (
        (RUNTIME, ComponentScope.REQUIRED),
        (TORCH_CPU, ComponentScope.REQUIRED),
        (DEVELOPMENT, ComponentScope.EXCLUDED),
        (TORCH_CUDA, ComponentScope.OPTIONAL),
    ):
        for pin in read(path):
            key = pin.name, pin.version
            if key not in seen:
                seen.add(key)
                yield pin, ComponentScope.REQUIRED if key in needed else scope


def _package(pin: Pin, scope: ComponentScope) -> Component:
    licence = licence_of(pin.name)
    properties = [Property(name="resight:platforms", value=pin.marker)] if pin.marker else []
    if licence is None:
        properties.append(
            Property(name="resight:licence", value="not read: the package is not installed on this platform")
        )
    url = PackageURL("pypi", name=pin.name, version=pin.version)
    return Component(
        name=pin.name,
        version=pin.version,
        type=ComponentType.LIBRARY,
        scope=scope,
        bom_ref=str(url),
        purl=url,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in pin.digests],
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
        properties=properties,
    )


def _weights(file: Path) -> Component:
    """Bundled weights, with what the card beside them says."""
    card = file.with_suffix(".json")
    about = json.loads(card.read_text(encoding="utf-8"))
    return Component(
        name=file.stem,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        scope=ComponentScope.REQUIRED,
        bom_ref=f"weights:{file.stem}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(file.read_bytes()).hexdigest())],
        licenses=[LicenseFactory().make_from_string(about["licence"])],
        properties=[
            Property(name="resight:file", value=file.relative_to(ROOT).as_posix()),
            *(Property(name=f"resight:photos:{name}", value=terms) for name, terms in about["data_sets"].items()),
        ],
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="file to write")
    out: Path = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    bom = bill()
    out.write_text(JsonV1Dot6(bom).output_as_string(indent=1), encoding="utf-8")
    print(f"{out}: {len(bom.components)} components")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""No import circle anywhere, also counting imports inside functions; and the registry stands below the stages."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"src/resight": "resight", "tasks": "resight.tasks", "flows": "resight.flows", "catalog": "resight.catalog"}


def modules() -> dict[str, Path]:
    """File by module name."""
    files = {}
    for folder, package in FOLDERS.items():
        for file in (ROOT / folder).rglob("*.py"):
            parts = file.relative_to(ROOT / folder).with_suffix("").parts
            files[".".join([package, *(parts[:-1] if parts[-1] == "__init__" else parts)])] = file
    return files


class Imports(ast.NodeVisitor):
    """Names that a module imports, at the top or in a function; what only a type checker reads is left out."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for other in node.orelse:
                self.visit(other)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.names |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module:
            self.names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}


def graph() -> dict[str, set[str]]:
    """Modules that each module imports. A package and a module inside it are two."""
    files = modules()
    edges = {}
    for name, file in files.items():
        seen = Imports()
        seen.visit(ast.parse(file.read_text(encoding="utf-8")))
        edges[name] = (seen.names & files.keys()) - {name}
    return edges


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other: strongly connected components (Tarjan 1972) of two or more."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def walk(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(edges[node]):
            if other not in index:
                walk(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            groups.append(sorted(group))

    for node in sorted(edges):
        if node not in index:
            walk(node)
    return [group for group in groups if len(group) > 1]


def test_a_circle_is_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


@pytest.mark.parametrize("stage", ["extract", "segment", "match", "shortlist", "compare", "score", "plugins"])
def test_a_stage_has_no_import_circle(stage: str) -> None:
    edges = {name: targets for name, targets in graph().items() if name.startswith(f"resight.{stage}.")}
    assert circles({name: targets & edges.keys() for name, targets in edges.items()}) == []


def test_kinds_import_no_heavy_package_at_the_top() -> None:
    heavy = {"torch", "cv2", "kornia", "onnxruntime", "transformers"}
    for stage in ("extract", "segment", "match", "score"):
        for file in sorted((ROOT / "src" / "resight" / stage / "kinds").glob("*.py")):
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    seen = Imports()
                    seen.visit(node)
                    assert not {name.partition(".")[0] for name in seen.names} & heavy, file.name


def test_the_registry_imports_no_stage() -> None:
    imported = graph()["resight.plugins.registry"]
    assert imported <= {"resight.errors", "resight.plugins", "resight.plugins.params"}

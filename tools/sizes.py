"""No module over 350 lines, no function over 45; exceptions stand in sizes.toml with a reason each.

A line is a line of the file: docstrings and blank lines count. A function's decorators do not.
"""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "flows", "tasks", "catalog", "tools", "benchmarks", "tests")
MODULE_LINES, FUNCTION_LINES = 350, 45


def sizes(file: Path) -> Iterator[tuple[str, int, int]]:
    """The name, the lines and the limit of a module and of each function and method in it."""
    text = file.read_text(encoding="utf-8")
    path = file.relative_to(ROOT).as_posix()
    yield path, len(text.splitlines()), MODULE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path}::{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1, FUNCTION_LINES


def main() -> int:
    """Print what is too long, and exceptions that are needed no more; the exit status is 1 if there is any."""
    exceptions = tomllib.loads((ROOT / "tools" / "sizes.toml").read_text(encoding="utf-8"))
    files = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]
    too_long = {
        name: f"{lines} lines, limit {limit}" for file in files for name, lines, limit in sizes(file) if lines > limit
    }
    complaints = [f"{name}: {size}" for name, size in too_long.items() if name not in exceptions]
    complaints += [f"{name}: within the limit, remove it from sizes.toml" for name in exceptions.keys() - too_long]
    complaints += [f"{name}: give a reason in sizes.toml" for name, reason in exceptions.items() if not reason.strip()]
    print("\n".join(complaints) or f"{len(files)} files within the limits, {len(exceptions)} exceptions with a reason")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

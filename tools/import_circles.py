"""Import circles between the modules of resight, those inside functions counted; none may exist.

What stands under ``if TYPE_CHECKING`` is never imported and does not count.

Reads the installed package that comes first on sys.path: `make contracts` puts the built wheel there, since an editable
install hides the mapped folders (flows, tasks, catalog) from grimp.
"""

import sys

import grimp


def circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other, directly or by way of others (Tarjan's algorithm)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        stack.append(module)
        for imported in sorted(imports[module]):
            if imported not in order:
                visit(imported)
            if imported in stack:
                lowest[module] = min(lowest[module], lowest[imported])
        if lowest[module] == order[module]:
            start = stack.index(module)
            groups.append(sorted(stack[start:]))
            del stack[start:]

    for module in sorted(imports):
        if module not in order:
            visit(module)
    return [group for group in groups if len(group) > 1]


def main() -> int:
    """Print every circle; the exit status is 1 if there is any."""
    sys.setrecursionlimit(10_000)
    graph = grimp.build_graph("resight", exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    groups = circles(imports)
    for group in groups:
        print(f"{len(group)} modules import each other: {', '.join(group)}")
    print(f"{len(imports)} modules, {len(groups)} import circles")
    return 1 if groups else 0


if __name__ == "__main__":
    sys.exit(main())

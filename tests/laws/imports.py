"""Which modules of the project a module imports, read from its source."""

import ast
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).parents[2]
SOURCE = PROJECT / "src"


def module_files() -> list[Path]:
    """Every Python file of the package, relative to the project."""
    return sorted(path.relative_to(PROJECT) for path in (SOURCE / "lmlab").rglob("*.py"))


def module_name(path: Path) -> str:
    """The dotted name of a file of the package."""
    parts = path.relative_to("src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imported_names(path: Path) -> frozenset[str]:
    """Dotted names that the file imports at run time, inside functions too."""
    found: set[str] = set()
    for node in _run_time_nodes(ast.parse((PROJECT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def _run_time_nodes(tree: ast.AST) -> list[ast.AST]:
    """Every node but those under `if TYPE_CHECKING`."""
    nodes: list[ast.AST] = [tree]
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)):
            nodes += _run_time_nodes(child)
    return nodes


@cache
def own_imports(path: Path) -> frozenset[Path]:
    """Files of the package that the file imports, and the packages that hold them."""
    by_name = {module_name(file): file for file in module_files()}
    names = {name for name in imported_names(path) if name.startswith("lmlab")}
    parents = {name.rsplit(".", count)[0] for name in names for count in range(name.count(".") + 1)}
    found = {by_name[name] for name in names | parents if name in by_name}
    # A registry imports the parts of its own package by name.
    if "lmlab.registry" in names and path.name == "__init__.py":
        found |= {file for file in module_files() if file.parent == path.parent}
    return frozenset(found - {path})


def reachable(path: Path) -> set[Path]:
    """The file and all files of the package that it imports, directly or not."""
    seen, waiting = {path}, [path]
    while waiting:
        new = own_imports(waiting.pop()) - seen
        seen |= new
        waiting += new
    return seen

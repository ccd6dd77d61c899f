"""The documentation strings of a Python file, read with `ast`, never imported."""

import ast
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | Definition


class Docstring(NamedTuple):
    """A documentation string, dedented, and the dotted name of what it documents ("" for the module itself)."""

    name: str
    text: str


def read_docstrings(path: Path, *, minimum_characters: int) -> list[Docstring] | None:
    """The file's docstrings of at least that length in their order of appearance; None if it does not parse.

    Names are unique within the file: a name defined again gets #2, #3 and so on.
    """
    try:
        with warnings.catch_warnings():
            # Old escapes in strings of packages are their authors' business.
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return None
    seen: dict[str, int] = {}
    found = []
    for name, node in _documented(tree, ()):
        seen[name] = seen.get(name, 0) + 1
        text = _valid(ast.get_docstring(node) or "")
        if len(text) >= minimum_characters:
            found.append(Docstring(name if seen[name] == 1 else f"{name}#{seen[name]}", text))
    return found


def _documented(node: ast.AST, path: tuple[str, ...]) -> Iterator[tuple[str, Documented]]:
    if isinstance(node, ast.Module):
        yield "", node
    elif isinstance(node, Definition):
        path = (*path, node.name)
        yield ".".join(path), node
    elif isinstance(node, ast.expr):
        return
    for child in ast.iter_child_nodes(node):
        yield from _documented(child, path)


def _valid(text: str) -> str:
    # A docstring may spell half a surrogate pair as an escape, which no UTF-8 file can hold.
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

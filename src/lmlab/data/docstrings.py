"""The documentation strings of a Python file, read with `ast`, never imported."""

import ast
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lmlab.data.sentences import sentences

# A summary is what one says in a breath: longer first paragraphs are prose.
MOST_SUMMARY_SENTENCES = 3
MOST_SUMMARY_CHARACTERS = 300

_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")

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
    for name, node in _documented(tree):
        seen[name] = seen.get(name, 0) + 1
        text = _valid(ast.get_docstring(node) or "")
        if len(text) >= minimum_characters:
            found.append(Docstring(name if seen[name] == 1 else f"{name}#{seen[name]}", text))
    return found


def summary_of(text: str) -> str:
    """The first paragraph on one line; "" where that is no summary of one to three sentences.

    A title, a list, a signature or a doctest is none: a summary begins with a letter and ends as a sentence does.
    """
    summary = " ".join(_BLANK_LINE.split(text, maxsplit=1)[0].split())
    is_prose = summary[:1].isalpha() and summary[-1:] in (".", "!", "?")
    is_short = len(summary) <= MOST_SUMMARY_CHARACTERS and len(sentences(summary)) <= MOST_SUMMARY_SENTENCES
    return summary if is_prose and is_short else ""


def body_of(text: str) -> str:
    """What follows the summary; "" where there is no summary or nothing follows."""
    return "".join(_BLANK_LINE.split(text, maxsplit=1)[1:]).strip("\n") if summary_of(text) else ""


def _documented(tree: ast.AST) -> Iterator[tuple[str, Documented]]:
    # Not by recursion: a long chain of elif is as deep as it is long.
    waiting: list[tuple[ast.AST, tuple[str, ...]]] = [(tree, ())]
    while waiting:
        node, path = waiting.pop()
        if isinstance(node, ast.Module):
            yield "", node
        elif isinstance(node, Definition):
            path = (*path, node.name)
            yield ".".join(path), node
        elif isinstance(node, ast.expr):
            continue
        waiting.extend((child, path) for child in reversed(list(ast.iter_child_nodes(node))))


def _valid(text: str) -> str:
    # A docstring may spell half a surrogate pair as an escape, which no UTF-8 file can hold.
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

"""Functions stay short enough to read at once, and so do files."""

import ast
from pathlib import Path

import pytest

from tests.laws.imports import PROJECT

FILES = sorted(
    path.relative_to(PROJECT) for folder in ("src", "pipelines", "tests") for path in (PROJECT / folder).rglob("*.py")
)
LONGEST_FUNCTION = 60
LONGEST_FILE = 400


@pytest.mark.parametrize("path", FILES, ids=str)
def test_functions_and_files_are_short(path: Path) -> None:
    text = (PROJECT / path).read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, f"{node.name} is too long"

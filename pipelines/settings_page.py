"""Write docs/settings.md: every setting with its values, its default and what it does, from the settings classes.

Example: python -m pipelines.settings_page
"""

import ast
import inspect
import re
import types
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import yaml

from lmlab.config import Settings
from lmlab.files import whole_file
from lmlab.registry import Registry
from pipelines.command import parser_of, run_command
from pipelines.compose import CONF
from pipelines.settings import SECTIONS

PAGE = Path("docs/settings.md")
LONGEST_DEFAULT = 60
OPENING = """# Settings

Written by `python -m pipelines.settings_page` from the settings classes and `conf/`; a test compares. Set one on the
command line (`python -m pipelines.run training.max_steps=500`), in an experiment (`conf/experiment/NAME.yaml`), or for
good in the file that is named here, followed by `make repro`. A default is that of the file which the heading names;
`conf/model_task/` and an experiment override some (`make repro` has `model.heads: 2` and `training.max_steps: 850`);
`params.yaml` shows what is used. A default in brackets is `conf/`'s own reference to another setting. `seed` (0 to
4294967295, default 1) draws weights, batches, dropout and resamples.
"""
RANGES = {"gt": "above", "ge": "from", "lt": "below", "le": "to"}
PLAIN = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "`true` or `false`",
    type(None): "`null`",
    Path: "path",
}


class Row(NamedTuple):
    """A setting as the page shows it."""

    path: str
    values: str
    default: str
    meaning: str


def page() -> str:
    """The page's text."""
    parts = [OPENING]
    for section, kind in SECTIONS.items():
        if kind is None:
            continue
        parts.append(f"## {section}\n")
        if isinstance(kind, Registry):
            for name in kind.names():
                settings = kind.get(name).settings
                parts.append(f"### {section}={name}\n\n{_summary(settings)}\n")
                parts.append(_table(settings, section, _conf(section, name)))
        else:
            names = sorted(path.stem for path in (CONF / section).glob("*.yaml"))
            shown = "default" if "default" in names else names[0]
            others = f" Files: {', '.join(f'`{section}={name}`' for name in names)}." if len(names) > 1 else ""
            parts.append(f"{_summary(kind)} Defaults of `conf/{section}/{shown}.yaml`.{others}\n")
            parts.append(_table(kind, section, _conf(section, shown)))
    return "\n".join(parts)


def _table(settings: type[Settings], path: str, file: Path) -> str:
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    rows = list(_rows(settings, path, yaml.safe_load(text) or {}, _comments(text)))
    lines = ["| setting | values | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{row.path}` | {row.values} | {row.default} | {row.meaning} |" for row in rows]
    return "\n".join(lines) + "\n"


def _rows(settings: type[Settings], path: str, defaults: Any, comments: Mapping[str, str]) -> Iterator[Row]:
    meanings = _meanings(settings)
    # What a class takes over comes before its own fields, and its name would stand among them.
    for name, field in sorted(settings.model_fields.items(), key=lambda entry: entry[0] != "name"):
        if name == "name" and "." not in path:
            continue
        inner = _settings_in(field.annotation)
        default = defaults.get(name, ...) if isinstance(defaults, Mapping) else ...
        where = f"{path}.{name}"
        if inner:
            for kind in inner:
                chosen = default if isinstance(default, Mapping) and _is_of(kind, default) else None
                yield from _rows(kind, where, chosen, comments)
            continue
        annotation = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        meaning = meanings.get(name) or comments.get(name, "")
        yield Row(where, _values(annotation), _default(default), _cell(meaning))


def _is_of(kind: type[Settings], values: Mapping[str, Any]) -> bool:
    field = kind.model_fields.get("name")
    names = get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()
    return not names or values.get("name") in names


def _settings_in(annotation: Any) -> list[type[Settings]]:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return [annotation]
    if get_origin(annotation) in (dict, list, tuple):
        return []
    return [found for inner in get_args(annotation) for found in _settings_in(inner)]


def _values(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        limits = [one for field in arguments[1:] for one in getattr(field, "metadata", [field])]
        bounds = [
            f"{word} {_number(getattr(limit, name))}"
            for limit in limits
            for name, word in RANGES.items()
            if hasattr(limit, name)
        ]
        return " ".join([_values(arguments[0]), *bounds])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_values(one) for one in arguments)
    if origin in (list, tuple):
        return f"list of {_values(arguments[0])}"
    if origin is dict:
        return f"mapping of {_values(arguments[0])} to {_values(arguments[1])}"
    return PLAIN.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _default(value: Any) -> str:
    if value is ...:
        return ""
    if isinstance(value, str) and value.startswith("${"):
        return f"[{value[2:-1]}]"
    text = (
        "null"
        if value is None
        else str(value).lower()
        if isinstance(value, bool)
        else yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()
    )
    return f"`{_cell(text)}`" if len(text) <= LONGEST_DEFAULT else "see the file"


def _conf(section: str, name: str) -> Path:
    return CONF / section / f"{name}.yaml"


def _summary(settings: type[Settings]) -> str:
    return _cell(inspect.getdoc(settings) or "")


@cache
def _meanings(settings: type[Settings]) -> dict[str, str]:
    """What stands under each field of the class and of those that it extends."""
    found: dict[str, str] = {}
    for kind in reversed(settings.__mro__):
        if not (issubclass(kind, Settings) and kind is not Settings):
            continue
        (tree,) = ast.parse(inspect.cleandoc(f"\n{inspect.getsource(kind)}")).body
        assert isinstance(tree, ast.ClassDef)
        for field, after in zip(tree.body, tree.body[1:], strict=False):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
                found[field.target.id] = str(after.value.value)  # type: ignore[union-attr]
    return found


def _comments(text: str) -> dict[str, str]:
    """The comment behind each key."""
    return dict(re.findall(r"^\s*(\w+):[^#\n]*#\s*(.+)$", text, flags=re.MULTILINE))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Write the page."""
    parser_of("settings_page", __doc__).options()
    PAGE.parent.mkdir(exist_ok=True)
    with whole_file(PAGE) as partial:
        partial.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    run_command(main)

"""Which column, or which place inside nested data, gives the text of a field.

    source.columns={question: question, answer: [answers.text.0, answers.text.1]}
    fields:          question, answer, answer_2

A path is a column's name, or names and list positions joined by dots. A name that holds dots itself wins.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field

from lmlab.errors import InputError
from lmlab.text import is_text, listed, nearest, shown

# What records/*.parquet calls its own columns.
TAKEN_FIELDS = ("id", "document_number", "piece_number")

DEFAULT_COLUMNS = {"text": "text"}
"""Where no columns are mapped."""

Row = Mapping[str, object]


class Column(NamedTuple):
    """Where the text of a field stands in a row."""

    field: str
    path: str
    is_further: bool
    """Whether it is a further right answer, which a row may lack."""


def _check_kinds(columns: object) -> object:
    for field, paths in columns.items() if isinstance(columns, Mapping) else ():
        if not isinstance(paths, str) and not (paths and _is_list_of_text(paths)):
            raise ValueError(f"{field} needs the name of a column or a list of names, it has {paths!r}")
    return columns


def _check_names(columns: dict[str, str | list[str]] | None) -> dict[str, str | list[str]] | None:
    for field in columns or ():
        if field in TAKEN_FIELDS:
            raise ValueError(
                f"a field cannot be called '{field}', records have a column of that name; try '{field}_text'"
            )
    named = [column.field for column in columns_of(columns or {})]
    for field in columns or ():
        if named.count(field) > 1:
            raise ValueError(f"the field '{field}' is already there, for a further column of another; rename it")
    return columns


ColumnMapping = Annotated[
    dict[str, str | list[str]], Field(min_length=1), BeforeValidator(_check_kinds), AfterValidator(_check_names)
]
"""Field -> column, or field -> columns: the first is the field, the others are NAME_2, NAME_3..."""


def columns_of(mapping: Mapping[str, str | Sequence[str]]) -> list[Column]:
    """The columns of a mapping in its order, one for each field that records get."""
    found = []
    for field, paths in mapping.items():
        for number, path in enumerate([paths] if isinstance(paths, str) else paths, start=1):
            found.append(Column(field if number == 1 else f"{field}_{number}", path, number > 1))
    return found


def column_texts(row: Row, columns: Sequence[Column], *, place: str) -> tuple[str, ...]:
    """The text of each column: numbers as JSON spells them, lists of text joined by spaces, null as "".

    Raises: InputError that begins with the place if a column is missing (a further one may be), or is no text.
    """
    texts = []
    for column in columns:
        try:
            texts.append(text_of(row[column.path] if column.path in row else _reach(row, column)))
        except _MissingError as missing:
            raise InputError(f"{place}: {missing}") from None
        except TypeError as error:
            raise InputError(f"{place}: {error} in '{column.path}'; map text columns with source.columns") from None
    return tuple(texts)


def top_columns(columns: Sequence[Column], names: Collection[str], *, place: str) -> list[str]:
    """The columns of a table that these stand in, each once.

    Raises: InputError that begins with the place if the table has no such column.
    """
    found = []
    for column in columns:
        name = next((head for head, _ in _heads(column.path) if head in names), None)
        if name is None:
            raise InputError(f"{place}: {no_column(column.path, names)}")
        found.append(name)
    return list(dict.fromkeys(found))


def no_column(path: str, names: Collection[str]) -> str:
    """What to say of a table with these columns where one of that name was asked for."""
    column = path if "." not in path else path.partition(".")[0]
    hint = nearest(column, names)
    near = f" ({hint})" if names and hint.startswith("did you mean") else ""
    return (
        f"there is no column '{path}', it has {listed(names) or 'none'}{near}; "
        "map them with source.columns={field: column}"
    )


class _MissingError(Exception):
    """The path leads nowhere in this row."""


def _reach(row: Row, column: Column) -> object:
    """The value at the column's path; None where a further column's list ends earlier or is null."""
    value: object = row
    rest = column.path
    while rest:
        if isinstance(value, Mapping):
            step, rest = _named_step(value, rest, column, is_top=value is row)
            value = value[step]
        elif isinstance(value, list):
            step, _, rest = rest.partition(".")
            if not (step.isascii() and step.isdecimal()):
                raise _MissingError(f"'{column.path}' needs a position such as 0 in place of '{step}', found a list")
            if int(step) >= len(value):
                return _absent(column, f"the list has {len(value)} entries")
            value = value[int(step)]
        elif value is None:
            return _absent(column, f"null where '{rest}' is looked for")
        else:
            raise _MissingError(f"there is no '{column.path}': '{rest}' is looked for in {_shown(value)}")
    return value


def _named_step(value: Mapping, rest: str, column: Column, *, is_top: bool) -> tuple[str, str]:
    for head, tail in _heads(rest):
        if head in value:
            return head, tail
    if is_top:
        raise _MissingError(no_column(column.path, [str(name) for name in value]))
    step = rest.partition(".")[0]
    raise _MissingError(
        f"there is no '{step}' on the way to '{column.path}'; {nearest(step, [str(name) for name in value])}"
    )


def _absent(column: Column, found: str) -> None:
    if not column.is_further:
        raise _MissingError(
            f"there is nothing at '{column.path}' ({found}), and '{column.field}' needs a text in every record"
        )


def _heads(path: str) -> Iterator[tuple[str, str]]:
    """The path cut in two at each dot, the longest head first."""
    steps = path.split(".")
    for count in range(len(steps), 0, -1):
        yield ".".join(steps[:count]), ".".join(steps[count:])


def text_of(value: object) -> str:
    """The text of a plain value.

    Raises: TypeError for anything that is not text, a number, a list of texts or null.
    """
    if type(value) is str:
        return value if value.isascii() else _without_half_pairs(value)
    if value is None:
        return ""
    if isinstance(value, list) and _is_list_of_text(value):
        return " ".join(text_of(part) for part in value)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise TypeError(f"expected text, found {_shown(value)}")


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _shown(value: object) -> str:
    return f"{type(value).__name__} {shown(value)[:40]}"


def _without_half_pairs(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, which JSON can spell and no UTF-8 file can hold."""
    return text if is_text(text) else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

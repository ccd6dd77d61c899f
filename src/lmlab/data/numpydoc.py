"""The sections of a numpydoc docstring that list parameters, returned values and attributes.

    Parameters                          a heading and its underline
    ----------
    alpha : float, default=1.0          an entry: its names, and after the colon its specification
        How strong the penalty is.      its description

Source: https://numpydoc.readthedocs.io/en/latest/format.html
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from lmlab.data.sentences import sentences

SECTIONS = ("Parameters", "Other Parameters", "Attributes", "Returns")

_HEADING = re.compile(r"^(\S.*?)[^\S\n]*\n([-=])\2{2,}[^\S\n]*(?:\n|\Z)", re.MULTILINE)
_NAMES = re.compile(r"(?P<names>\*{0,2}[^\W\d]\w*(?:, ?\*{0,2}[^\W\d]\w*)*) ?:(?:\s+(?P<specification>\S.*))?$")
# "float, optional (default: 1)": what a specification says beside the type begins here.
_BESIDE_TYPE = re.compile(r"[,;.]?\s*\(?\b(?:optional|defaults?|required|keyword[- ]only)\b")
_DEFAULT = re.compile(r"\bdefaults?(?: is| to|:|=| =)?\s*(\S.*)$")
# In prose a value must stand out, or "default is used" would have the value "used".
_DEFAULT_IN_PROSE = re.compile(
    r"\b[Dd]efaults?(?: value)?(?: is| to|:)\s+"
    r"(``[^`\n]+``|`[^`\n]+`|'[^'\n]*'|\"[^\"\n]*\"|True|False|None|[-+]?\d[\w.+-]*\w|[-+]?\d)"
)
# Values are quoted or numbers; {array-like, sparse matrix} is a set of types.
_CHOICES = re.compile(r"\{[^{}\n]*[\"'\d][^{}\n]*,[^{}\n]*\}")
_WIDE_SPACE = re.compile(r"[^\S\n]{2,}")


class Entry(NamedTuple):
    """One entry of a section, as its text stands there; without a name it is a mere type, or prose between entries."""

    name: str
    specification: str
    description: str
    text: str


class Section(NamedTuple):
    """A section's title and its entries in order."""

    title: str
    entries: tuple[Entry, ...]


def read_sections(docstring: str) -> Iterator[Section]:
    """The sections that have entries, in order, from a dedented docstring."""
    headings = list(_HEADING.finditer(docstring))
    ends = [*(heading.start() for heading in headings), len(docstring)][1:]
    for heading, end in zip(headings, ends, strict=True):
        if heading[1] in SECTIONS:
            entries = tuple(_entries(docstring[heading.end() : end]))
            if entries:
                yield Section(heading[1], entries)


def type_of(entry: Entry) -> str:
    """The type as the specification writes it, without the default; "" if there is none."""
    beside = _BESIDE_TYPE.search(entry.specification)
    text = entry.specification[: beside.start()] if beside else entry.specification
    text = text.strip().rstrip(".,;:")
    return text if _is_balanced(text) else ""


def default_of(entry: Entry) -> str:
    """The default as the specification or else the description writes it; "" if neither does."""
    if found := _DEFAULT.search(entry.specification):
        value = found[1].strip()
        value = value if _is_balanced(value) else value.rstrip(")").rstrip()
        return value.rstrip(".,;") if _is_balanced(value) else ""
    values = set(_DEFAULT_IN_PROSE.findall(entry.description))
    # Two values hang on something else that the description says.
    return values.pop() if len(values) == 1 else ""


def choices_of(entry: Entry) -> str:
    """The set of values in the specification, with its braces; "" if there is none."""
    found = _CHOICES.findall(entry.specification)
    return found[0] if len(found) == 1 else ""


def meaning_of(entry: Entry) -> str:
    """The first sentence of the description on one line; "" if it is none that ends."""
    found = sentences(entry.description.partition("\n\n")[0])
    return found[0] if found and found[0].endswith((".", "!")) else ""


def _entries(body: str) -> Iterator[Entry]:
    lines: list[str] = []
    for line in body.split("\n"):
        begins = bool(line[:1].strip())
        if begins and lines:
            yield _entry(lines)
            lines = []
        if begins or lines:
            lines.append(line.rstrip())
    if lines:
        yield _entry(lines)


def _entry(lines: list[str]) -> Entry:
    # Lines that Python code continues leave wide gaps in a specification.
    first = _WIDE_SPACE.sub(" ", lines[0])
    text = "\n".join([first, *lines[1:]]).rstrip()
    description = "\n".join(line.strip() for line in lines[1:]).strip()
    found = _NAMES.match(first)
    if found is None:
        return Entry("", first, description, text)
    name = found["names"].split(",")[0].lstrip("*")
    return Entry(name, (found["specification"] or "").strip(), description, text)


def _is_balanced(text: str) -> bool:
    return all(text.count(left) == text.count(right) for left, right in ("()", "[]", "{}")) and not text.endswith(",")

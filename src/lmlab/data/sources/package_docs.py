"""Documentation strings of installed Python packages: real English prose that needs no network."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from lmlab.config import PartSettings, PositiveInt
from lmlab.data.columns import TAKEN_FIELDS
from lmlab.data.docstrings import body_of, read_docstrings, summary_of
from lmlab.data.packages import Module, modules, read_all, versions
from lmlab.data.source import Record, Source
from lmlab.data.sources import SOURCES
from lmlab.data.splits import SplitFractions, minimum_records, split_of, with_every_split
from lmlab.text import digest_of, nearest

log = logging.getLogger("lmlab")

DEFAULT_COLUMNS = {"text": "docstring", "package": "package"}


class _Documented(NamedTuple):
    """A docstring of a module, and the name of what it documents within the module ("" for the module itself)."""

    module: Module
    name: str
    text: str


def _dotted_name(documented: _Documented) -> str:
    name = documented.name.partition("#")[0]
    return f"{documented.module.dotted_name}.{name}" if name else documented.module.dotted_name


PARTS: dict[str, Callable[[_Documented], str]] = {
    "docstring": lambda documented: documented.text,
    "summary": lambda documented: summary_of(documented.text),
    "body": lambda documented: body_of(documented.text),
    "package": lambda documented: documented.module.package,
    "name": _dotted_name,
}
TEXT_PARTS = ("docstring", "summary", "body")


def _known_part(part: str) -> str:
    if part not in PARTS:
        raise ValueError(f"a docstring has no such part; {nearest(part, PARTS)}")
    return part


def _free_names(columns: dict[str, str] | None) -> dict[str, str] | None:
    for field in columns or ():
        if field in TAKEN_FIELDS:
            raise ValueError(
                f"a field cannot be called '{field}', records have a column of that name; try '{field}_text'"
            )
    return columns


class PackageDocsSettings(PartSettings):
    """Which packages, which of their docstrings, and which parts of them."""

    packages: Annotated[list[str], Field(min_length=1)]
    """Names of installed distributions, as pip knows them."""
    columns: Annotated[
        dict[str, Annotated[str, AfterValidator(_known_part)]] | None, Field(min_length=1), AfterValidator(_free_names)
    ]
    """The part of each field; docstrings that lack one of these parts are left out."""
    minimum_characters: PositiveInt
    """Shorter docstrings are left out: they say little and repeat each other."""
    fractions: SplitFractions
    """Shares of the splits; a module goes to one split as a whole, since its docstrings repeat each other."""
    depends_on: str | None
    """The path outside the project's code that DVC watches for a change of the records."""


class PackageDocs:
    """One record for each docstring that has the wanted parts."""

    def __init__(self, settings: PackageDocsSettings) -> None:
        self._settings = settings
        self._columns = settings.columns or DEFAULT_COLUMNS

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the settings."""
        return tuple(self._columns)

    @property
    def content(self) -> tuple[str, ...]:
        """The fields with text of the docstring; its package and name only say where it stands."""
        return tuple(field for field, part in self._columns.items() if part in TEXT_PARTS) or self.fields

    def digest(self) -> str:
        """A digest of the settings and of the installed versions of the packages."""
        settings = self._settings.model_dump(mode="json", exclude={"depends_on"})
        return digest_of({"settings": settings, "versions": versions(self._settings.packages)})

    def records(self) -> Iterator[Record]:
        """Every docstring, packages in the order of the settings, modules by name."""
        fractions = self._settings.fractions
        return with_every_split(
            self._records(),
            where="source.packages",
            remedy=f"name larger packages, or more: about {minimum_records(fractions)} modules are needed",
        )

    def _records(self) -> Iterator[Record]:
        found = modules(self._settings.packages)
        log.info("reading the docstrings of %d modules of %d packages", len(found), len(self._settings.packages))
        read = partial(read_docstrings, minimum_characters=self._settings.minimum_characters)
        document = 0
        unreadable = 0
        for module, docstrings in zip(found, read_all([module.path for module in found], read), strict=True):
            unreadable += docstrings is None
            split = split_of(module.name, self._settings.fractions)
            for name, text in docstrings or ():
                values = tuple(PARTS[part](_Documented(module, name, text)) for part in self._columns.values())
                if all(values):
                    yield Record(split, f"{module.name}:{name}" if name else module.name, document, values)
                    document += 1
        if unreadable:
            log.info("left out %d files that are not Python of this version", unreadable)


@SOURCES.register(PackageDocsSettings)
def build(settings: PackageDocsSettings) -> Source:
    """The source that these settings describe."""
    return PackageDocs(settings)

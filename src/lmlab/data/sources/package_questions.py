"""Questions on the parameters of functions of installed Python packages, answered by their documentation strings."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from lmlab.config import PartSettings, PositiveInt
from lmlab.data.docstrings import read_docstrings
from lmlab.data.numpydoc import Section, read_sections
from lmlab.data.packages import Module, modules, read_all, versions
from lmlab.data.questions import Bounds, questions_on
from lmlab.data.source import Record, Source
from lmlab.data.sources import SOURCES
from lmlab.data.splits import SplitFractions, minimum_records, split_of, with_every_split
from lmlab.text import digest_of

log = logging.getLogger("lmlab")


class PackageQuestionsSettings(PartSettings):
    """Which packages, and how much is asked of each function."""

    packages: Annotated[list[str], Field(min_length=1)]
    """Names of installed distributions, as pip knows them."""
    questions_per_function: PositiveInt
    """At most so many on one function, of as many kinds as possible."""
    maximum_context_characters: PositiveInt
    """Of longer sections the parameters around the one that is asked for are kept."""
    maximum_answer_characters: PositiveInt
    """Questions with longer answers are left out."""
    fractions: SplitFractions
    """Shares of the splits; a module goes to one split as a whole, since its docstrings repeat each other."""
    depends_on: str | None
    """The path outside the project's code that DVC watches for a change of the records."""


class _Function(NamedTuple):
    name: str
    sections: tuple[Section, ...]


class PackageQuestions:
    """One record for each question, in the order of packages, modules by name, functions as they stand."""

    fields = ("question", "context", "answer")
    content = fields

    def __init__(self, settings: PackageQuestionsSettings) -> None:
        self._settings = settings
        self._bounds = Bounds(
            questions=settings.questions_per_function,
            context=settings.maximum_context_characters,
            answer=settings.maximum_answer_characters,
        )

    def digest(self) -> str:
        """A digest of the settings and of the installed versions of the packages."""
        settings = self._settings.model_dump(mode="json", exclude={"depends_on"})
        return digest_of({"settings": settings, "versions": versions(self._settings.packages)})

    def records(self) -> Iterator[Record]:
        """Every question; a section that several functions have counts once, and no two splits share a context."""
        return with_every_split(
            self._records(),
            where="source.packages",
            remedy=f"name packages with numpydoc docstrings, larger ones, or more: about "
            f"{minimum_records(self._settings.fractions)} modules are needed",
        )

    def _records(self) -> Iterator[Record]:
        found = modules(self._settings.packages)
        log.info("asking about %d modules of %d packages", len(found), len(self._settings.packages))
        splits: dict[str, str] = {}
        document = 0
        for module, functions in zip(found, read_all([module.path for module in found], _read), strict=True):
            for record in self._of_module(module, functions, splits):
                yield record._replace(document=document)
                document += 1

    def _of_module(self, module: Module, functions: list[_Function], splits: dict[str, str]) -> Iterator[Record]:
        """The records of a module; `splits` says of every text that has been asked about which split has it."""
        split = split_of(module.name, self._settings.fractions)
        for name, sections in functions:
            new = [section for section in sections if _text(section) not in splits]
            splits.update((_text(section), split) for section in new)
            asked = name.partition("#")[0].removesuffix(".__init__")
            for question in questions_on(asked, new, id=f"{module.name}:{name}", bounds=self._bounds):
                if splits.setdefault(question.context, split) == split:
                    yield Record(split, question.id, 0, (question.question, question.context, question.answer))


@SOURCES.register(PackageQuestionsSettings)
def build(settings: PackageQuestionsSettings) -> Source:
    """The source that these settings describe."""
    return PackageQuestions(settings)


def _read(path: Path) -> list[_Function]:
    functions = [
        _Function(docstring.name, tuple(read_sections(docstring.text)))
        for docstring in read_docstrings(path, minimum_characters=1) or ()
        if docstring.name
    ]
    return [function for function in functions if function.sections]


def _text(section: Section) -> str:
    return "\n".join(entry.text for entry in section.entries)

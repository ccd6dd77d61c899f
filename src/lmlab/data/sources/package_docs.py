"""Documentation strings of installed Python packages: real English prose that needs no network."""

import logging
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from lmlab.config import PartSettings, PositiveInt
from lmlab.data.docstrings import Docstring, read_docstrings
from lmlab.data.source import Record, Source
from lmlab.data.sources import SOURCES
from lmlab.data.splits import SplitFractions, minimum_records, split_of, with_every_split
from lmlab.errors import InputError
from lmlab.text import digest_of

log = logging.getLogger("lmlab")

TEST_FOLDERS = {"test", "tests", "testing"}
# Below this many files starting worker processes costs more than it saves.
FILES_WORTH_A_POOL = 300
FILES_A_TASK = 16
# Reading keeps few cores busy: more workers than this only wait for the one that collects.
MOST_WORKERS = 4


class PackageDocsSettings(PartSettings):
    """Which packages, and which of their docstrings."""

    packages: Annotated[list[str], Field(min_length=1)]
    """Names of installed distributions, as pip knows them."""
    minimum_characters: PositiveInt
    """Shorter docstrings are left out: they say little and repeat each other."""
    fractions: SplitFractions
    """Shares of the splits; a module goes to one split as a whole, since its docstrings repeat each other."""
    depends_on: str | None
    """The path outside the project's code that DVC watches for a change of the records."""


class _Module(NamedTuple):
    package: str
    name: str
    path: Path


class PackageDocs:
    """One record for each docstring; fields text and package."""

    fields = ("text", "package")
    content = ("text",)

    def __init__(self, settings: PackageDocsSettings) -> None:
        self._settings = settings

    def digest(self) -> str:
        """A digest of the settings and of the installed versions of the packages."""
        versions = {name: _distribution(name).version for name in self._settings.packages}
        return digest_of(
            {"settings": self._settings.model_dump(mode="json", exclude={"depends_on"}), "versions": versions}
        )

    def records(self) -> Iterator[Record]:
        """Every docstring, packages in the order of the settings, modules by name."""
        fractions = self._settings.fractions
        return with_every_split(
            self._records(),
            where="source.packages",
            remedy=f"name larger packages, or more: about {minimum_records(fractions)} modules are needed",
        )

    def _records(self) -> Iterator[Record]:
        modules = [module for package in self._settings.packages for module in _modules(package)]
        log.info("reading the docstrings of %d modules of %d packages", len(modules), len(self._settings.packages))
        document = 0
        unreadable = 0
        for module, docstrings in zip(modules, self._read(modules), strict=True):
            unreadable += docstrings is None
            split = split_of(module.name, self._settings.fractions)
            for name, text in docstrings or ():
                record_id = f"{module.name}:{name}" if name else module.name
                yield Record(split, record_id, document, (text, module.package))
                document += 1
        if unreadable:
            log.info("left out %d files that are not Python of this version", unreadable)

    def _read(self, modules: list[_Module]) -> Iterator[list[Docstring] | None]:
        read = partial(read_docstrings, minimum_characters=self._settings.minimum_characters)
        paths = [module.path for module in modules]
        workers = min(os.cpu_count() or 1, MOST_WORKERS)
        if workers == 1 or len(paths) < FILES_WORTH_A_POOL:
            yield from map(read, paths)
            return
        # Not fork: a caller may have threads, and a forked child of those may wait for ever.
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield from pool.map(read, paths, chunksize=FILES_A_TASK)


@SOURCES.register(PackageDocsSettings)
def build(settings: PackageDocsSettings) -> Source:
    """The source that these settings describe."""
    return PackageDocs(settings)


def _distribution(package: str) -> metadata.Distribution:
    try:
        return metadata.distribution(package)
    except metadata.PackageNotFoundError:
        raise InputError(
            f"source.packages: '{package}' is not installed; install it (`pip install {package}`) or leave it out"
        ) from None


def _modules(package: str) -> list[_Module]:
    distribution = _distribution(package)
    if distribution.files is None:
        raise InputError(f"source.packages: '{package}' does not say which files it has; install it again with pip")
    found = [
        _Module(package, file.as_posix(), Path(str(distribution.locate_file(file))))
        for file in distribution.files
        if file.suffix == ".py" and ".." not in file.parts and not TEST_FOLDERS.intersection(file.parts)
    ]
    return sorted((module for module in found if module.path.is_file()), key=lambda module: module.name)

"""The Python files of installed packages, and reading them in several processes."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import NamedTuple, TypeVar

from lmlab.data.pool import in_order, num_cores
from lmlab.errors import InputError

ResultT = TypeVar("ResultT")

TEST_FOLDERS = {"test", "tests", "testing"}
# Below this many files starting processes costs more than it saves.
FILES_WORTH_A_POOL = 300
FILES_A_TASK = 16
# Reading keeps few cores busy: more processes than this only wait for the one that collects.
MOST_PROCESSES = 4


class Module(NamedTuple):
    """A Python file: its distribution, its path within site-packages, and where it lies."""

    package: str
    name: str
    path: Path

    @property
    def dotted_name(self) -> str:
        """The name that Python imports it by."""
        return self.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def versions(packages: Sequence[str]) -> dict[str, str]:
    """The installed version of each package.

    Raises: InputError that names a package that is not installed.
    """
    return {name: _distribution(name).version for name in packages}


def modules(packages: Sequence[str]) -> list[Module]:
    """Every Python file but tests, packages in their order, files by name.

    Raises: InputError that names a package that is not installed or does not list its files.
    """
    return [module for package in packages for module in _modules_of(package)]


def read_all(paths: Sequence[Path], read: Callable[[Path], ResultT]) -> Iterator[ResultT]:
    """What `read`, a function that can be pickled, returns for each file, in their order."""
    parts = [paths[start : start + FILES_A_TASK] for start in range(0, len(paths), FILES_A_TASK)]
    processes = min(num_cores(), MOST_PROCESSES) if len(paths) >= FILES_WORTH_A_POOL else 1
    for found in in_order(partial(_read_each, read), parts, processes=processes, num_here=0):
        yield from found


def _read_each(read: Callable[[Path], ResultT], paths: Sequence[Path]) -> list[ResultT]:
    return [read(path) for path in paths]


def _distribution(package: str) -> metadata.Distribution:
    try:
        return metadata.distribution(package)
    except metadata.PackageNotFoundError:
        raise InputError(
            f"source.packages: '{package}' is not installed; install it (`pip install {package}`) or leave it out"
        ) from None


def _modules_of(package: str) -> list[Module]:
    distribution = _distribution(package)
    if distribution.files is None:
        raise InputError(f"source.packages: '{package}' does not say which files it has; install it again with pip")
    found = [
        Module(package, file.as_posix(), Path(str(distribution.locate_file(file))))
        for file in distribution.files
        if file.suffix == ".py" and ".." not in file.parts and not TEST_FOLDERS.intersection(file.parts)
    ]
    return sorted((module for module in found if module.path.is_file()), key=lambda module: module.name)

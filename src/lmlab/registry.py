"""Parts by name: a part is a module of a registry's package, with a settings class and a build function.

A registry's package holds parts and nothing else (shared code lives in subpackages), so adding a file
adds a part. A part's module imports torch and other heavy libraries inside `build` only, so that
settings are validated without them.
"""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

from lmlab.errors import InputError
from lmlab.text import nearest

P = ParamSpec("P")
R = TypeVar("R")


class Part(NamedTuple):
    """A registered part: its settings class and what builds it from them."""

    name: str
    settings: type
    build: Callable[..., Any]


class Registry:
    """The parts of one kind."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._parts: dict[str, Part] = {}

    def register(self, settings: type) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Register the decorated build function under the name of its module."""

        def add(build: Callable[P, R]) -> Callable[P, R]:
            name = build.__module__.rpartition(".")[2]
            self._parts[name] = Part(name, settings, build)
            return build

        return add

    def names(self) -> list[str]:
        """The names of all parts, sorted, without importing them."""
        folder = importlib.import_module(self._package).__path__
        return sorted(module.name for module in pkgutil.iter_modules(folder) if not module.ispkg)

    def get(self, name: str) -> Part:
        """The part of that name.

        Raises: InputError with the nearest right name if there is none.
        """
        if name not in self.names():
            raise InputError(f"{self.kind}.name: no {self.kind} is called '{name}'; {nearest(name, self.names())}")
        importlib.import_module(f"{self._package}.{name}")
        return self._parts[name]

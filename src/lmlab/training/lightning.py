"""PyTorch Lightning without the parts of torchmetrics that no training here uses; training takes it from here.

Lightning needs two classes of torchmetrics, which imports every metric that it has: with transformers, scipy and
matplotlib beside them that is nearly half of Lightning's import. torchmetrics does without these three where they are
not installed, so while it is imported they are not found. Afterwards everybody finds them as ever, but for
torchmetrics itself, whose plots and scores of texts stay without them in this process.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.metadata import DistributionFinder, PackageNotFoundError
from typing import NoReturn

import torch  # noqa: F401  before the rest, so that it finds all that it looks for

HIDDEN = frozenset({"matplotlib", "scipy", "transformers"})


class _Hiding(MetaPathFinder):
    """Says to the thread that made it that the hidden packages are not installed."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:  # noqa: ARG002
        """Refuse a hidden package; leave the others to the finders behind."""
        if self._hides(fullname):
            raise ModuleNotFoundError(f"No module named '{fullname}'", name=fullname)

    def find_distributions(self, context: DistributionFinder.Context) -> Iterator[NoReturn]:
        """Refuse a hidden package, which torchmetrics looks up by its version."""
        if self._hides(context.name):
            raise PackageNotFoundError(context.name)
        return iter(())

    def _hides(self, name: str | None) -> bool:
        return name in HIDDEN and threading.get_ident() == self._thread


@contextmanager
def _hidden() -> Iterator[None]:
    finder = _Hiding()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


if "torchmetrics" not in sys.modules:
    with _hidden():
        import torchmetrics  # noqa: F401

import pytorch_lightning as pl  # noqa: E402
from lightning_fabric.utilities.warnings import PossibleUserWarning  # noqa: E402
from pytorch_lightning import strategies  # noqa: E402

__all__ = ["PossibleUserWarning", "pl", "strategies"]

"""The seam of exporters."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Answer(NamedTuple):
    """What a model says to a prompt."""

    logits: NDArray[np.float32]
    """(time, vocabulary), after each token of the prompt."""
    greedy: list[int]
    """The tokens that greedy decoding goes on with, stop tokens and all."""


class Exporter(ABC):
    """One form of a model."""

    @abstractmethod
    def write(self, bundle: Path, folder: Path) -> None:
        """Write the artifact of this bundle into an existing folder."""

    @abstractmethod
    def answer(self, folder: Path, prompts: Sequence[Sequence[int]], *, greedy_tokens: int) -> list[Answer]:
        """What the artifact answers, loaded by the software that it is for; runs in a fresh process."""

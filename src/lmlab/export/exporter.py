"""The seam of exporters."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from lmlab.bundle import Bundle


class Answer(NamedTuple):
    """What a model says to a prompt."""

    logits: NDArray[np.float32]
    """(time, vocabulary), after each token of the prompt."""
    greedy: list[int]
    """The tokens that greedy decoding goes on with, stop tokens and all."""


class Artifact(ABC):
    """A written form of a model, loaded again from nothing but its folder."""

    @abstractmethod
    def logits(self, prompt: Sequence[int]) -> NDArray[np.float32]:
        """(time, vocabulary), after each token of the prompt."""

    @abstractmethod
    def greedy(self, prompt: Sequence[int], *, count: int) -> list[int]:
        """So many tokens that greedy decoding goes on with, stop tokens and all."""


class Exporter(ABC):
    """One form of a model."""

    library: str
    """The software that loads it, as the hub calls it."""
    is_exact = True
    """Whether the artifact must answer as the model does; one that is not tells how much it loses."""

    def refusal(self, bundle: "Bundle") -> str | None:
        """Why a model cannot take this form, in words that follow the form's name; None where it can."""
        del bundle
        return None

    @abstractmethod
    def write(self, bundle: Path, folder: Path) -> None:
        """Write the artifact of this bundle, which is not refused, into an existing folder."""

    @abstractmethod
    def usage(self, bundle: "Bundle", text: str) -> str:
        """Markdown that shows how to load FOLDER and have `text` answered."""

    @abstractmethod
    def load(self, folder: Path) -> Artifact:
        """The artifact of a folder; called in a fresh process."""

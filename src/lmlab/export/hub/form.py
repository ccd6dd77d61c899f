"""A model in the hub's form, before it is written."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class HubForm(NamedTuple):
    """What transformers builds a model from."""

    config: dict[str, Any]
    """config.json, without the tokens' ids."""
    weights: "dict[str, Tensor]"
    code: tuple[Path, ...]
    """Files that a folder needs beside, where transformers has no class of its own for the model."""

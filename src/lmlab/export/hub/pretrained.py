"""A pretrained model as the class of transformers that it is, under that class's own names."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lmlab.export.hub.form import HubForm

if TYPE_CHECKING:
    from torch import Tensor

# Where a bundle keeps the model inside the one behind this project's seam.
_INSIDE = "inner."


def pretrained_form(config: Mapping[str, Any], weights: "Mapping[str, Tensor]") -> HubForm:
    """The bundle's architecture and weights; a weight with several names is stored under its first."""
    named = {name.removeprefix(_INSIDE): tensor for name, tensor in weights.items()}
    return HubForm(config["model"]["architecture"], named, code=())

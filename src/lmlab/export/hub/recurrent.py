"""LSTM and GRU models as LmlabRecurrentForCausalLM, whose code stands in the exported folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmlab.export.hub.form import HubForm
from lmlab.files import read_json

if TYPE_CHECKING:
    from torch import Tensor

# Read as a file, never imported here: transformers would come with it.
MODELING = Path(__file__).with_name("modeling_lmlab.py")
AUTO_MAP = {
    "AutoConfig": f"{MODELING.stem}.LmlabRecurrentConfig",
    "AutoModelForCausalLM": f"{MODELING.stem}.LmlabRecurrentForCausalLM",
}


def recurrent_form(config: Mapping[str, Any], weights: "Mapping[str, Tensor]") -> HubForm:
    """The bundle's LSTM or GRU; the output matrix is the embedding, and is not stored twice."""
    settings = config["model"]
    hub_config = {
        "architectures": ["LmlabRecurrentForCausalLM"],
        "auto_map": AUTO_MAP,
        "model_type": "lmlab_recurrent",
        "dtype": "float32",
        "vocab_size": config["vocabulary_size"],
        "cell": settings["name"],
        "embedding_width": settings["embedding_width"],
        "width": settings["width"],
        "layers": settings["layers"],
        "dropout": settings["dropout"],
        "attention_span": settings["attention_span"],
        "tie_word_embeddings": True,
    }
    named = {"lm_head.bias" if name == "output_bias" else name: tensor for name, tensor in weights.items()}
    return HubForm(hub_config, named, code=(MODELING,))


def has_our_code(folder: Path) -> bool:
    """Whether the folder's model is run by the very code that `recurrent_form` gives, and by no other."""
    code = folder / MODELING.name
    is_ours = code.is_file() and code.read_bytes() == MODELING.read_bytes()
    return is_ours and read_json(folder / "config.json").get("auto_map") == AUTO_MAP

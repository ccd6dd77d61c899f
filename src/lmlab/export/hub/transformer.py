"""The Transformer as Qwen3ForCausalLM, which needs no code of this project."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lmlab.export.hub.form import HubForm

if TYPE_CHECKING:
    from torch import Tensor

# What the hub's software calls the parts of a block.
_NAMES = {
    "attention_norm": "input_layernorm",
    "attention.query_norm": "self_attn.q_norm",
    "attention.key_norm": "self_attn.k_norm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.o_proj",
    "feed_forward_norm": "post_attention_layernorm",
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.up": "mlp.up_proj",
    "feed_forward.down": "mlp.down_proj",
}
_OUTSIDE = {"embedding.weight": "model.embed_tokens.weight", "norm.weight": "model.norm.weight"}


def transformer_form(config: Mapping[str, Any], weights: "Mapping[str, Tensor]") -> HubForm:
    """The bundle's Transformer under the names of Qwen3Config and Qwen3ForCausalLM."""
    return HubForm(_hub_config(config), {_hub_name(name): tensor for name, tensor in weights.items()}, code=())


def _hub_config(config: Mapping[str, Any]) -> dict[str, Any]:
    from lmlab.models.architectures.transformer import NORM_EPSILON

    settings = config["model"]
    rotary = {"rope_type": "default", "rope_theta": settings["rotary_base"]}
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "dtype": "float32",
        "vocab_size": config["vocabulary_size"],
        "hidden_size": settings["width"],
        "num_hidden_layers": settings["layers"],
        "num_attention_heads": settings["heads"],
        "num_key_value_heads": settings["key_heads"],
        "head_dim": settings["width"] // settings["heads"],
        "intermediate_size": settings["feed_forward_width"],
        "max_position_embeddings": config["context_length"],
        # Older versions of transformers, and other software, read the second.
        "rope_parameters": rotary,
        "rope_theta": settings["rotary_base"],
        "rms_norm_eps": NORM_EPSILON,
        "hidden_act": "silu",
        "attention_bias": False,
        "tie_word_embeddings": True,
    }


def _hub_name(name: str) -> str:
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    _, number, rest = name.split(".", 2)
    part, _, kind = rest.rpartition(".")
    return f"model.layers.{number}.{_NAMES[part]}.{kind}"

"""A folder of the Hugging Face hub's form: the Transformer as Qwen3ForCausalLM, which needs no code of this project.

model.safetensors  config.json  generation_config.json  tokenizer.json  tokenizer_config.json
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmlab.bundle import WEIGHTS_NAME, load_bundle
from lmlab.data.tokenizer import SEPARATOR, Tokenizer
from lmlab.errors import InputError
from lmlab.export.exporter import Answer, Exporter
from lmlab.export.exporters import EXPORTERS
from lmlab.export.exporters.bundle import NoSettings
from lmlab.files import write_json

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


class HuggingFaceExporter(Exporter):
    """Writes the bundle's Transformer and tokenizer under the hub's names."""

    def write(self, bundle: Path, folder: Path) -> None:
        """Write every file.

        Raises: InputError for a recurrent model, which transformers has no class for.
        """
        from safetensors.torch import save_file

        model, tokenizer, config = load_bundle(bundle)
        if config["model"]["name"] != "transformer":
            raise InputError(
                f"export.artifacts: hf exports a Transformer, found {config['model']['name']}, "
                "which transformers has no class for: leave hf out"
            )
        weights = {_hub_name(name): tensor.contiguous() for name, tensor in sorted(model.state_dict().items())}
        save_file(weights, folder / WEIGHTS_NAME, metadata={"format": "pt"})
        ids = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), tokenizer.separator_id)
        write_json(folder / "config.json", hub_config(config) | ids)
        write_json(folder / "generation_config.json", ids)
        _write_tokenizer(folder, tokenizer, config)

    def answer(self, folder: Path, prompts: Sequence[Sequence[int]], *, greedy_tokens: int) -> list[Answer]:
        """Load by transformers alone, and read each prompt by itself."""
        import torch
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
        # Parity is asked of so many tokens, whether the model would stop among them or not.
        model.generation_config.eos_token_id = None
        return [_answer(model, torch.tensor([list(prompt)]), greedy_tokens) for prompt in prompts]


def hub_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The bundle's config under the names of Qwen3Config."""
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


def _write_tokenizer(folder: Path, tokenizer: Tokenizer, config: Mapping[str, Any]) -> None:
    """The tokenizer, which puts separators around a text as the model was trained to read it."""
    tokenizer.with_separators(closes=bool(config.get("has_prompts"))).save(folder)
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **dict.fromkeys(("bos_token", "eos_token", "pad_token"), SEPARATOR),
            "model_max_length": config["context_length"],
            "padding_side": "left",
            "clean_up_tokenization_spaces": False,
        },
    )


def _answer(model: Any, prompt: "Tensor", greedy_tokens: int) -> Answer:
    import torch

    with torch.inference_mode():
        logits = model(prompt).logits[0].float().numpy()  # (time, vocabulary)
        attended = torch.ones_like(prompt)
        written = model.generate(prompt, attention_mask=attended, max_new_tokens=greedy_tokens, do_sample=False)
    return Answer(logits, written[0, prompt.shape[1] :].tolist())


@EXPORTERS.register(NoSettings)
def build() -> Exporter:
    """The exporter."""
    return HuggingFaceExporter()

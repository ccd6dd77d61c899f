"""A file for llama.cpp and the software that is built on it: the Transformer as qwen3, in 32-bit floats.

model.gguf, with the tokenizer inside.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmlab.bundle import Bundle, build_model, load_bundle
from lmlab.data.tokenizer import Tokenizer
from lmlab.export.exporter import Artifact, Exporter
from lmlab.export.exporters import EXPORTERS
from lmlab.export.exporters.bundle import NoSettings, OwnModel

if TYPE_CHECKING:
    from gguf import GGUFWriter

    from lmlab.models.architectures.language_model import LanguageModel

USAGE = """\
```python
from llama_cpp import Llama

model = Llama("FOLDER/model.gguf", n_ctx=0)
written = model.create_completion({prompt!r}, max_tokens=64, temperature=0)
print(written["choices"][0]["text"])
```

The weights are 32-bit floats; no code of this folder runs. {closed}llama.cpp's own programs and what is built on them
load the same file."""
CLOSED = "A prompt ends with `{separator}`, after which the model was trained to answer. "
FILE_NAME = "model.gguf"
_ARCHITECTURE = "qwen3"

# What llama.cpp calls the parts of a block. Its qwen3 turns the halves of a head, as the model does, so that queries
# and keys keep their order.
_NAMES = {
    "attention_norm": "attn_norm",
    "attention.query_norm": "attn_q_norm",
    "attention.key_norm": "attn_k_norm",
    "attention.query": "attn_q",
    "attention.key": "attn_k",
    "attention.value": "attn_v",
    "attention.output": "attn_output",
    "feed_forward_norm": "ffn_norm",
    "feed_forward.gate": "ffn_gate",
    "feed_forward.up": "ffn_up",
    "feed_forward.down": "ffn_down",
}
# Without output.weight llama.cpp takes the embedding for it.
_OUTSIDE = {"embedding.weight": "token_embd.weight", "norm.weight": "output_norm.weight"}

# Where the model's settings stand.
_SIZES = {
    "width": "embedding_length",
    "layers": "block_count",
    "heads": "attention.head_count",
    "key_heads": "attention.head_count_kv",
    "feed_forward_width": "feed_forward_length",
    "rotary_base": "rope.freq_base",
}

_WORDS = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_DIGITS = {"type": "Digits", "individual_digits": True}
# The kind bpe's ways to cut a text into words, under llama.cpp's names. It has many names for GPT-2's expression:
# "gpt-2" itself takes the spaces before punctuation out when tokens become text again, "trillion" leaves them in
# (https://github.com/ggml-org/llama.cpp/pull/12556, older than qwen3 there). Letters and numbers that came to Unicode
# after version 15.1 may be cut otherwise there: its tables are older.
_SPLITTERS = {"trillion": _WORDS, "smollm": {"type": "Sequence", "pretokenizers": [_DIGITS, _WORDS]}}
# What llama.cpp's byte-pair encoding has no word for, of the settings of the package tokenizers.
_FOREIGN = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges")


class GgufExporter(Exporter):
    """Writes the bundle's Transformer and byte-level tokenizer under llama.cpp's names."""

    library = "gguf"

    def refusal(self, bundle: Bundle) -> str | None:
        """Any model but the Transformer, and a tokenizer that llama.cpp would make other tokens with."""
        if bundle.config["model"]["name"] != "transformer":
            return f"is for Transformers: llama.cpp has no name for {bundle.config['model']['name']}"
        if foreign := _foreign_parts(_form(bundle.tokenizer)):
            return f"exports a tokenizer as tokenizer=bpe trains it, found {foreign[0]}, which llama.cpp has not"
        return None

    def write(self, bundle: Path, folder: Path) -> None:
        """Write the file."""
        from gguf import GGUFWriter

        model, tokenizer, config = load_bundle(bundle)
        writer = GGUFWriter(folder / FILE_NAME, _ARCHITECTURE)
        _add_sizes(writer, config)
        _add_tokenizer(writer, tokenizer)
        for name, tensor in sorted(model.state_dict().items()):
            writer.add_tensor(_file_name(name), tensor.contiguous().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    def usage(self, bundle: Bundle, text: str) -> str:
        """By llama.cpp alone, from Python."""
        if not bundle.task.prompt:
            return USAGE.format(prompt=text, closed="")
        separator = bundle.tokenizer.separator
        return USAGE.format(prompt=text + separator, closed=CLOSED.format(separator=separator))

    def load(self, folder: Path) -> Artifact:
        """The model that the file alone tells of, without llama.cpp, which nothing here depends on."""
        return OwnModel(_model_of(folder / FILE_NAME))


def _model_of(path: Path) -> "LanguageModel":
    import torch
    from gguf import GGUFReader

    reader = GGUFReader(path)
    values = {key: field.contents() for key, field in reader.fields.items()}
    sizes = {name: values[f"{_ARCHITECTURE}.{key}"] for name, key in _SIZES.items()}
    model = build_model(
        {"name": "transformer", **sizes, "dropout": 0.0},
        vocabulary_size=len(values["tokenizer.ggml.tokens"]),
        context_length=values[f"{_ARCHITECTURE}.context_length"],
        path=str(path),
    )
    # The file is mapped read-only, which torch warns of: its numbers are copied.
    weights = {tensor.name: torch.from_numpy(tensor.data.copy()) for tensor in reader.tensors}
    model.load_state_dict({name: weights.pop(_file_name(name)) for name in model.state_dict()})
    assert not weights, f"{path} holds more than the model: {sorted(weights)}"
    return model.eval()


def _file_name(name: str) -> str:
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    _, number, rest = name.split(".", 2)
    part, _, kind = rest.rpartition(".")
    return f"blk.{number}.{_NAMES[part]}.{kind}"


def _form(tokenizer: Tokenizer) -> dict[str, Any]:
    return json.loads(tokenizer.inner.to_str())


def _foreign_parts(form: Mapping[str, Any]) -> list[str]:
    """What of this tokenizer.json llama.cpp's byte-pair encoding has no word for."""
    model, normalizer, splitter = form["model"], form["normalizer"], form["pre_tokenizer"]
    if model["type"] != "BPE":
        return [f"the model {model['type']}"]
    found = [f"the setting {key}" for key in _FOREIGN if model[key]]
    found += [f"the added token {token['content']}" for token in form["added_tokens"] if not token["special"]]
    if normalizer is not None:
        found.append(f"the normalizer {normalizer['type']}")
    if splitter not in _SPLITTERS.values():
        found.append(f"the pre-tokenizer {json.dumps(splitter)}")
    if not model["merges"]:
        found.append("no merges")
    return found


def _add_sizes(writer: "GGUFWriter", config: Mapping[str, Any]) -> None:
    from gguf import LlamaFileType

    from lmlab.models.architectures.transformer import NORM_EPSILON

    settings = config["model"]
    head_width = settings["width"] // settings["heads"]
    writer.add_file_type(LlamaFileType.ALL_F32)
    writer.add_context_length(config["context_length"])
    writer.add_embedding_length(settings["width"])
    writer.add_block_count(settings["layers"])
    writer.add_head_count(settings["heads"])
    writer.add_head_count_kv(settings["key_heads"])
    writer.add_key_length(head_width)
    writer.add_value_length(head_width)
    writer.add_feed_forward_length(settings["feed_forward_width"])
    writer.add_rope_freq_base(settings["rotary_base"])
    writer.add_layer_norm_rms_eps(NORM_EPSILON)


def _add_tokenizer(writer: "GGUFWriter", tokenizer: Tokenizer) -> None:
    """The tokenizer, which puts a separator before a text as the model was trained to read it.

    None is put after it, even where prompts end with one: llama.cpp's programs stop at a decoder that asks for it.
    """
    from gguf import TokenType

    form = _form(tokenizer)
    special = {token["content"]: token["id"] for token in form["added_tokens"]}
    ids = form["model"]["vocab"] | special
    tokens = sorted(ids, key=ids.__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(next(name for name, known in _SPLITTERS.items() if known == form["pre_tokenizer"]))
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL if token in special else TokenType.NORMAL for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in form["model"]["merges"]])
    writer.add_bos_token_id(tokenizer.separator_id)
    writer.add_eos_token_id(tokenizer.separator_id)
    writer.add_pad_token_id(tokenizer.separator_id)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)


@EXPORTERS.register(NoSettings)
def build() -> Exporter:
    """The exporter."""
    return GgufExporter()

"""A folder of the Hugging Face hub's form, which transformers loads without this project.

model.safetensors  config.json  generation_config.json  tokenizer.json  tokenizer_config.json  [modeling_lmlab.py]

The Transformer is a Qwen3ForCausalLM, a pretrained model the class that it was. transformers has no class for recurrent
models: their folder holds one, which runs for those who load it with trust_remote_code=True.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lmlab.bundle import WEIGHTS_NAME, Bundle, load_bundle
from lmlab.data.tokenizer import Tokenizer
from lmlab.export.exporter import Artifact, Exporter
from lmlab.export.exporters import EXPORTERS
from lmlab.export.exporters.bundle import NoSettings
from lmlab.export.hub.decoding import generation_settings
from lmlab.export.hub.pretrained import pretrained_form
from lmlab.export.hub.recurrent import has_our_code, recurrent_form
from lmlab.export.hub.transformer import transformer_form
from lmlab.files import read_json, write_json

if TYPE_CHECKING:
    from torch import Tensor

USAGE = """\
```python
from transformers import {kind}, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER"{trust})
model = {kind}.from_pretrained("FOLDER"{trust})
inputs = tokenizer([{text!r}], return_tensors="pt")
written = model.generate(**inputs)
print(tokenizer.decode({answer}, skip_special_tokens=True))
```

Weights are safetensors. {code}"""
OWN_CODE = (
    "transformers has no class for this model: trust_remote_code=True runs modeling_lmlab.py of this folder, which "
    "needs torch and transformers alone. Read it first."
)
FORMS = {
    "transformer": transformer_form,
    "lstm": recurrent_form,
    "gru": recurrent_form,
    "pretrained": pretrained_form,
}


class HuggingFaceExporter(Exporter):
    """Writes the bundle's model and tokenizer under the hub's names."""

    library = "transformers"

    def refusal(self, bundle: Bundle) -> str | None:
        """A model that has no form of the hub."""
        name = bundle.config["model"]["name"]
        return None if name in FORMS else f"exports {', '.join(sorted(FORMS))}, found {name}"

    def write(self, bundle: Path, folder: Path) -> None:
        """Write every file."""
        from safetensors.torch import save_file

        loaded = load_bundle(bundle)
        form = FORMS[loaded.config["model"]["name"]](loaded.config, loaded.model.state_dict())
        weights = {name: tensor.contiguous() for name, tensor in sorted(form.weights.items())}
        save_file(weights, folder / WEIGHTS_NAME, metadata={"format": "pt"})
        for path in form.code:
            shutil.copyfile(path, folder / path.name)
        ids = _token_ids(form.config, loaded.tokenizer)
        write_json(folder / "config.json", form.config | ids)
        write_json(folder / "generation_config.json", ids | generation_settings(loaded.task.decoding))
        _write_tokenizer(folder, loaded, reads_apart=_reads_apart(form.config))

    def usage(self, bundle: Bundle, text: str) -> str:
        """By transformers alone."""
        is_known = bundle.config["model"]["name"] in ("transformer", "pretrained")
        reads_apart = bundle.model.needs_prompts
        return USAGE.format(
            kind="AutoModelForSeq2SeqLM" if reads_apart else "AutoModelForCausalLM",
            text=text,
            answer="written[0]" if reads_apart else 'written[0, inputs["input_ids"].shape[1] :]',
            trust="" if is_known else ", trust_remote_code=True",
            code="No code of this folder runs." if is_known else OWN_CODE,
        )

    def load(self, folder: Path) -> Artifact:
        """By transformers alone; code in the folder runs only if it is ours."""
        from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

        reads_apart = _reads_apart(read_json(folder / "config.json"))
        model = (AutoModelForSeq2SeqLM if reads_apart else AutoModelForCausalLM).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=has_our_code(folder)
        )
        return (_AnsweringHubModel if reads_apart else _HubModel)(model.eval())


class _HubModel(Artifact):
    def __init__(self, model: Any) -> None:
        self._model = model
        # Parity is asked of so many tokens, whether the model would stop among them or not.
        model.generation_config.eos_token_id = None

    def logits(self, prompt: Sequence[int]) -> NDArray[np.float32]:
        """In one pass."""
        import torch

        with torch.inference_mode():
            return self._model(torch.tensor([list(prompt)])).logits[0].float().numpy()

    def greedy(self, prompt: Sequence[int], *, count: int) -> list[int]:
        """By transformers' own `generate`, however the folder's settings decode."""
        import torch

        tokens = torch.tensor([list(prompt)])
        greedy = {"do_sample": False, "num_beams": 1, "max_new_tokens": count}
        written = self._model.generate(tokens, attention_mask=torch.ones_like(tokens), **greedy)
        return written[0, len(prompt) :].tolist()


class _AnsweringHubModel(_HubModel):
    """An encoder-decoder, which is asked what stands before a prompt's second separator, and answers behind it."""

    def logits(self, prompt: Sequence[int]) -> NDArray[np.float32]:
        """From the second separator on; 0 before it, where the model says nothing."""
        import torch

        asked, begun = self._divided(prompt)
        with torch.inference_mode():
            found = self._model(input_ids=asked, decoder_input_ids=begun).logits[0].float().numpy()
        return np.concatenate([np.zeros((len(prompt) - len(found), found.shape[1]), np.float32), found])

    def greedy(self, prompt: Sequence[int], *, count: int) -> list[int]:
        """By transformers' own `generate`, however the folder's settings decode."""
        asked, begun = self._divided(prompt)
        greedy = {"do_sample": False, "num_beams": 1, "max_new_tokens": count}
        written = self._model.generate(asked, decoder_input_ids=begun, **greedy)
        return written[0, begun.shape[1] :].tolist()

    def _divided(self, prompt: Sequence[int]) -> "tuple[Tensor, Tensor]":
        import torch

        from lmlab.models.architectures.pretrained_encoder_decoder import divided

        asked, begun = divided(prompt)
        return torch.tensor([asked]), torch.tensor([[self._model.config.decoder_start_token_id, *begun]])


def _reads_apart(config: Mapping[str, Any]) -> bool:
    """Whether the model reads prompts and answers in two parts."""
    return bool(config.get("is_encoder_decoder"))


def _token_ids(config: Mapping[str, Any], tokenizer: Tokenizer) -> dict[str, int]:
    """The ids of the tokens with a role, as the config has them; else the separator plays it."""
    # An encoder-decoder has nothing before a prompt.
    roles = ("eos_token_id", "pad_token_id") + (() if _reads_apart(config) else ("bos_token_id",))
    own = {role: config[role] for role in (*roles, "decoder_start_token_id") if config.get(role) is not None}
    return dict.fromkeys(roles, tokenizer.separator_id) | own


def _write_tokenizer(folder: Path, bundle: Bundle, *, reads_apart: bool) -> None:
    """The tokenizer, which puts separators around a text as the model was trained to read it."""
    tokenizer, max_tokens = bundle.tokenizer, None if reads_apart else bundle.model.context_length
    tokenizer.with_separators(closes=bool(bundle.task.prompt), opens=not reads_apart).save(folder)
    bound = {} if max_tokens is None else {"model_max_length": max_tokens}
    roles = ("eos_token", "pad_token") if reads_apart else ("bos_token", "eos_token", "pad_token")
    settings: Mapping[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **dict.fromkeys(roles, tokenizer.separator),
        **tokenizer.named,
        **bound,
        # Without token types, which no such model takes: what it gives goes into `generate` as it is.
        "model_input_names": ["input_ids", "attention_mask"],
        "padding_side": "right" if reads_apart else "left",
        "clean_up_tokenization_spaces": False,
    }
    write_json(folder / "tokenizer_config.json", settings)


@EXPORTERS.register(NoSettings)
def build() -> Exporter:
    """The exporter."""
    return HuggingFaceExporter()

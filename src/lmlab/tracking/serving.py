"""How MLflow loads a logged bundle and asks it to go on from prompts."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmlab.errors import InputError

if TYPE_CHECKING:
    from mlflow.models import ModelSignature
    from pandas import DataFrame

    from lmlab.bundle import Bundle

_SETTINGS = {
    "max_new_tokens": "task.decoding.max_new_tokens",
    "temperature": "task.decoding.sampling.temperature",
    "top_k": "task.decoding.sampling.top_k",
    "top_p": "task.decoding.sampling.top_p",
    "seed": "seed",
}
# For tasks that search or choose: they are served by greedy decoding.
_ELSE = {"max_new_tokens": 64, "temperature": 0, "top_k": 0, "top_p": 1, "seed": 1}


def signature(settings: Mapping[str, str]) -> "ModelSignature":
    """Column `prompt` in, column `text` out; a request may change how the run's own settings decode."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    whole = {"max_new_tokens", "top_k", "seed"}
    params = [
        ParamSpec(name, DataType.long, int(settings.get(key, _ELSE[name])))
        if name in whole
        else ParamSpec(name, DataType.double, float(settings.get(key, _ELSE[name])))
        for name, key in _SETTINGS.items()
    ]
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string, "prompt")]),
        outputs=Schema([ColSpec(DataType.string, "text")]),
        params=ParamSchema(params),
    )


class Continuations:
    """What MLflow asks: each prompt's continuation, without the prompt."""

    def __init__(self, bundle: "Bundle") -> None:
        self._bundle = bundle

    def predict(self, model_input: "DataFrame", params: dict[str, Any]) -> "DataFrame":
        """A frame with column `text`, one row for each row of column `prompt`; MLflow completes the params."""
        from pandas import DataFrame

        from lmlab.decoding.generate import generate
        from lmlab.decoding.sampling import Sampling

        texts = model_input["prompt"].tolist()
        if not all(isinstance(text, str) for text in texts):
            raise InputError("prompt: each row must hold one string, as in DataFrame({'prompt': ['Returns the ']})")
        tokenizer = self._bundle.tokenizer
        separator = tokenizer.separator_id
        closing = [separator] if self._bundle.config.get("has_prompts") else []
        prompts = [[separator, *ids, *closing] for ids in tokenizer.encode(texts)]
        continuations = generate(
            self._bundle.model,
            prompts,
            max_new_tokens=int(params["max_new_tokens"]),
            sampling=Sampling(temperature=params["temperature"], top_k=int(params["top_k"]), top_p=params["top_p"]),
            stop_ids=frozenset({separator}),
            seed=int(params["seed"]),
        )
        return DataFrame({"text": [tokenizer.decode(ids) for ids in continuations]})


def _load_pyfunc(data_path: str) -> Continuations:
    from lmlab.bundle import load_bundle

    return Continuations(load_bundle(Path(data_path)))

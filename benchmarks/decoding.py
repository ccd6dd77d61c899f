"""Tokens a second of greedy decoding by lmlab and by others, side by side in one run on the CPU.

python -m benchmarks.decoding --threads 1
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import OURS, Case, in_turns, report
from lmlab.bundle import build_model, load_bundle, save_bundle
from lmlab.data.task import TaskSettings
from lmlab.data.tokenizer import Tokenizer, train_tokenizer
from lmlab.decoding.generate import generate
from lmlab.decoding.sampling import Sampling
from lmlab.engines.onnx_model import GRAPH_NAME, engine_of, open_session
from lmlab.export.exporters import EXPORTERS
from lmlab.models.architectures.language_model import LanguageModel
from lmlab.text import counted
from pipelines.compose import compose
from pipelines.settings import validate_params

GREEDY = Sampling(temperature=0, top_k=0, top_p=1)
NOTES = """{new_tokens} new tokens after {prompt_tokens}. Each model has the size of its settings in conf/model and
fresh weights, the same in all ways. lmlab is what `pipelines.apply` runs, generate() on the engine that it chooses;
lmlab in torch the same on the model itself; transformers model.generate(use_cache=True) on the export `hf`;
onnxruntime a loop over InferenceSession.run() on the export `onnx`, with numpy's argmax."""


def main() -> None:
    """Print the table and write the file."""
    settings = parse_arguments()
    torch.set_num_threads(settings.threads)
    cases = []
    with tempfile.TemporaryDirectory() as scratch, torch.inference_mode():
        for name in settings.models:
            decoders = decoders_of(name, Path(scratch) / name)
            for rows in settings.rows:
                ways = {way: speed(decode, rows, settings) for way, decode in decoders.items()}
                title = f"{name}, {counted(rows, 'text')} at once"
                cases.append(Case(title, "tokens/s", True, in_turns(ways, rounds=settings.rounds)))
                print(title, flush=True)
    notes = NOTES.format(new_tokens=settings.new_tokens, prompt_tokens=settings.prompt_tokens)
    report("decoding", "How fast does a model write?", cases, notes=notes)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["transformer", "lstm", "gru"], help="names in conf/model")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 32], help="texts that are written side by side")
    parser.add_argument("--prompt-tokens", type=int, default=16)
    parser.add_argument("--new-tokens", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


Decoder = Callable[[torch.Tensor, int], Any]


def decoders_of(name: str, folder: Path) -> dict[str, Decoder]:
    """Each way to decode this model, by its name."""
    bundle = write_bundle(name, folder / "bundle")
    for artifact in ("hf", "onnx"):
        (folder / artifact).mkdir()
        EXPORTERS.get(artifact).build().write(bundle, folder / artifact)
    model = load_bundle(bundle).model
    return {
        OURS: ours(engine_of(model)),
        "lmlab in torch": ours(model),
        "transformers": by_transformers(folder / "hf"),
        "onnxruntime": by_onnxruntime(folder / "onnx", engine_of(model)),
    }


def write_bundle(name: str, folder: Path) -> Path:
    params = compose([f"model={name}"])
    settings = validate_params(params)
    tokenizer = fresh_tokenizer(settings["tokenizer"].vocabulary_size)
    context_length = settings["training"].sequence_length * 2
    torch.manual_seed(0)
    model = build_model(
        params["model"], vocabulary_size=tokenizer.vocabulary_size, context_length=context_length, path="model"
    )
    for weight in model.parameters():
        if weight.ndim == 2:
            torch.nn.init.normal_(weight, std=0.05)
    task: TaskSettings = settings["task"]
    folder.mkdir(parents=True)
    save_bundle(
        folder,
        model,
        tokenizer,
        settings=params["model"],
        context_length=context_length,
        task=task.learned([]),
        facts={},
    )
    return folder


def fresh_tokenizer(vocabulary_size: int) -> Tokenizer:
    """As many tokens as the default, of made-up words."""
    draw = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = [" ".join("".join(draw.choice(letters, 6)) for _ in range(50)) for _ in range(400)]
    values = {"name": "bpe", "depends_on": None, "vocabulary_size": vocabulary_size, "min_frequency": 1}
    from lmlab.data.tokenizer.bpe import BpeSettings

    return train_tokenizer(BpeSettings(**values, split_digits=False), iter(words))


def ours(model: LanguageModel) -> Decoder:
    def decode(prompts: torch.Tensor, count: int) -> None:
        written = generate(model, prompts.tolist(), max_new_tokens=count, sampling=GREEDY, stop_ids=frozenset(), seed=0)
        assert all(len(tokens) == count for tokens in written)

    return decode


def by_transformers(folder: Path) -> Decoder:
    from transformers import AutoModelForCausalLM

    is_ours = (folder / "modeling_lmlab.py").exists()
    model: Any = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=is_ours).eval()
    model.generation_config.eos_token_id = None

    def decode(prompts: torch.Tensor, count: int) -> None:
        attended = torch.ones_like(prompts)
        written = model.generate(
            prompts, attention_mask=attended, max_new_tokens=count, do_sample=False, use_cache=True
        )
        assert written.shape[1] == prompts.shape[1] + count

    return decode


def by_onnxruntime(folder: Path, like: Any) -> Decoder:
    session = open_session(folder / GRAPH_NAME)
    names = [one.before for one in like.state]

    def decode(prompts: torch.Tensor, count: int) -> None:
        tokens, state = prompts.numpy(), like.empty_state(len(prompts))
        for _ in range(count):
            found: Any = session.run(None, {"tokens": tokens, **dict(zip(names, state, strict=True))})
            logits, *state = found
            tokens = logits[:, -1:].argmax(axis=-1)

    return decode


def speed(decode: Decoder, rows: int, settings: argparse.Namespace) -> Callable[[], float]:
    """A measurement of one round, in tokens a second of all rows together."""
    prompts = torch.randint(1, 4000, (rows, settings.prompt_tokens), generator=torch.Generator().manual_seed(0))

    def measure() -> float:
        begin = time.perf_counter()
        decode(prompts, settings.new_tokens)
        return rows * settings.new_tokens / (time.perf_counter() - begin)

    return measure


if __name__ == "__main__":
    main()

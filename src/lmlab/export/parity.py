"""Does an artifact answer as the model does? It is asked in a fresh process, as its exporter loads it again.

As a module: python -m lmlab.export.parity EXPORTER FOLDER QUESTIONS ANSWERS (the last two are .npz files).
"""

import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmlab.errors import InputError
from lmlab.export.exporter import Answer, Artifact
from lmlab.export.exporters import EXPORTERS


class Parity(NamedTuple):
    """How far an artifact's answers are from the model's."""

    largest_difference: float
    """Of any logit, absolute."""
    num_prompts: int
    same_greedy_prompts: int
    """Prompts that greedy decoding continues with the very same tokens."""
    nats_lost: float
    """By which the artifact finds the tokens of the prompts less likely than the model does, each token on average."""

    @property
    def all_same(self) -> bool:
        """Whether every prompt goes on alike."""
        return self.same_greedy_prompts == self.num_prompts


class Asked(NamedTuple):
    """An artifact's answers, and what it took to get them."""

    answers: list[Answer]
    load_seconds: float
    """From nothing but the interpreter to a model that is ready, imports included."""
    tokens_per_second: float
    """Of greedy decoding, one prompt at a time."""


def ask_in_fresh_process(exporter: str, folder: Path, prompts: Sequence[Sequence[int]], *, greedy_tokens: int) -> Asked:
    """What the artifact answers when nothing but the artifact is known.

    Raises: InputError with the process's last line if it failed.
    """
    import torch

    # Beside the artifact: what a kill leaves there goes with the next export.
    with tempfile.TemporaryDirectory(prefix=".asked-", dir=folder.resolve().parent) as scratch:
        questions, answers = Path(scratch) / "questions.npz", Path(scratch) / "answers.npz"
        asked = {f"prompt{i}": np.asarray(prompt) for i, prompt in enumerate(prompts)}
        np.savez(questions, allow_pickle=False, greedy_tokens=greedy_tokens, **asked)
        command = [sys.executable, "-m", "lmlab.export.parity", exporter, str(folder), str(questions), str(answers)]
        environment = {
            **os.environ,
            # Where transformers puts a copy of a folder's code that it runs.
            "HF_MODULES_CACHE": scratch,
            # Another number of threads may round otherwise.
            "OMP_NUM_THREADS": str(torch.get_num_threads()),
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            last_line = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise InputError(f"the artifact {exporter} in {folder} cannot be loaded again: {last_line}")
        with np.load(answers, allow_pickle=False) as stored:
            found = [Answer(stored[f"logits{i}"], stored[f"greedy{i}"].tolist()) for i in range(len(prompts))]
            return Asked(found, float(stored["load_seconds"]), float(stored["tokens_per_second"]))


def ask(artifact: Artifact, prompts: Sequence[Sequence[int]], *, greedy_tokens: int) -> list[Answer]:
    """The artifact's answer to each prompt by itself."""
    return [Answer(artifact.logits(prompt), artifact.greedy(prompt, count=greedy_tokens)) for prompt in prompts]


def compare(expected: Sequence[Answer], found: Sequence[Answer], prompts: Sequence[Sequence[int]]) -> Parity:
    """What tells the artifact's answers to the prompts from the model's."""
    triples = list(zip(expected, found, prompts, strict=True))
    largest = max(_difference(ours, theirs) for ours, theirs, _ in triples)
    lost = [_nats(theirs.logits, prompt) - _nats(ours.logits, prompt) for ours, theirs, prompt in triples]
    same = sum(ours.greedy == theirs.greedy for ours, theirs, _ in triples)
    return Parity(largest, len(triples), same, float(np.concatenate(lost).mean()) if any(map(len, lost)) else 0.0)


def _difference(ours: Answer, theirs: Answer) -> float:
    # NaN is greater than no bound, and would pass.
    return float(np.nan_to_num(np.abs(ours.logits - theirs.logits), nan=np.inf).max())


def _nats(logits: NDArray[np.float32], prompt: Sequence[int]) -> NDArray[np.float64]:
    """What each token of the prompt but the first costs after those before it."""
    before = logits[:-1].astype(np.float64)
    highest = before.max(axis=-1, keepdims=True, initial=-np.inf)
    total = np.log(np.exp(before - highest).sum(axis=-1)) + highest[:, 0]
    return total - before[np.arange(len(before)), np.asarray(prompt[1:], dtype=np.int64)]


def main(exporter: str, folder: str, questions: str, answers: str) -> None:
    """Answer the questions of one file into another."""
    with np.load(questions, allow_pickle=False) as stored:
        greedy_tokens = int(stored["greedy_tokens"])
        prompts = [stored[f"prompt{i}"].tolist() for i in range(len(stored.files) - 1)]
    start = time.monotonic()
    artifact = EXPORTERS.get(exporter).build().load(Path(folder))
    load_seconds = time.monotonic() - start
    # The first question finds everything cold; it is asked again for the time.
    given = ask(artifact, prompts, greedy_tokens=greedy_tokens)
    start = time.monotonic()
    artifact.greedy(prompts[0], count=greedy_tokens)
    tokens_per_second = greedy_tokens / (time.monotonic() - start)
    np.savez(
        answers,
        allow_pickle=False,
        load_seconds=load_seconds,
        tokens_per_second=tokens_per_second,
        **{f"logits{i}": answer.logits for i, answer in enumerate(given)},
        **{f"greedy{i}": np.asarray(answer.greedy) for i, answer in enumerate(given)},
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
    gc.freeze()  # ends 0.7 s earlier

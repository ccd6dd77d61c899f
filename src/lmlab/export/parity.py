"""Does an artifact answer as the model does? It is asked in a fresh process, by the software that it is for.

As a module: python -m lmlab.export.parity EXPORTER FOLDER QUESTIONS ANSWERS (the last two are .npz files).
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lmlab.errors import InputError
from lmlab.export.exporter import Answer
from lmlab.export.exporters import EXPORTERS


class Parity(NamedTuple):
    """How far an artifact's answers are from the model's."""

    largest_difference: float
    """Of any logit, absolute."""
    same_greedy_prompts: int
    """Prompts that greedy decoding continues with the very same tokens."""


def answers_in_fresh_process(
    exporter: str, folder: Path, prompts: Sequence[Sequence[int]], *, greedy_tokens: int
) -> list[Answer]:
    """What the artifact answers when nothing but the artifact is known.

    Raises: InputError with the process's last line if it failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        questions, answers = Path(scratch) / "questions.npz", Path(scratch) / "answers.npz"
        asked = {f"prompt{i}": np.asarray(prompt) for i, prompt in enumerate(prompts)}
        np.savez(questions, allow_pickle=False, greedy_tokens=greedy_tokens, **asked)
        command = [sys.executable, "-m", "lmlab.export.parity", exporter, str(folder), str(questions), str(answers)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last_line = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise InputError(f"the artifact {exporter} in {folder} cannot be loaded again: {last_line}")
        with np.load(answers, allow_pickle=False) as stored:
            return [Answer(stored[f"logits{i}"], stored[f"greedy{i}"].tolist()) for i in range(len(prompts))]


def compare(expected: Sequence[Answer], found: Sequence[Answer]) -> Parity:
    """The greatest difference of logits and the number of equal greedy continuations."""
    pairs = list(zip(expected, found, strict=True))
    largest = max(_difference(ours, theirs) for ours, theirs in pairs)
    return Parity(largest, sum(ours.greedy == theirs.greedy for ours, theirs in pairs))


def _difference(ours: Answer, theirs: Answer) -> float:
    # NaN is greater than no bound, and would pass.
    return float(np.nan_to_num(np.abs(ours.logits - theirs.logits), nan=np.inf).max())


def main(exporter: str, folder: str, questions: str, answers: str) -> None:
    """Answer the questions of one file into another."""
    with np.load(questions, allow_pickle=False) as stored:
        greedy_tokens = int(stored["greedy_tokens"])
        prompts = [stored[f"prompt{i}"].tolist() for i in range(len(stored.files) - 1)]
    given = EXPORTERS.get(exporter).build().answer(Path(folder), prompts, greedy_tokens=greedy_tokens)
    logits = {f"logits{i}": answer.logits for i, answer in enumerate(given)}
    greedy = {f"greedy{i}": np.asarray(answer.greedy) for i, answer in enumerate(given)}
    np.savez(answers, allow_pickle=False, **logits, **greedy)


if __name__ == "__main__":
    main(*sys.argv[1:])

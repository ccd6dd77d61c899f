"""Time of beam search against greedy decoding, side by side in one run.

    python -m benchmarks.beam_search --bundle models/bundle --tokens data/tokens

With a bundle, the prompts are those of the test split that it was trained for. Without one, each model has the size of
its settings in conf/model and fresh weights scaled by --sharpness: the sharper, the fewer hypotheses are close to one
another; the prompts are random tokens of random length.
"""

import argparse
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from benchmarks.measuring import Case, in_turns, report
from lmlab.bundle import build_model, load_bundle
from lmlab.data.store import TokenStore
from lmlab.data.task import SamplingSettings
from lmlab.decoding.beam import beam_search
from lmlab.decoding.generate import generate
from lmlab.decoding.ranking import rank_choices
from lmlab.decoding.reading import batches_by_length
from lmlab.evaluation.answered import prompts_of
from lmlab.models.architectures.language_model import LanguageModel
from lmlab.text import counted
from pipelines.compose import compose

SEPARATOR = 0
GREEDY = SamplingSettings(temperature=0, top_k=0, top_p=1)


def main() -> None:
    """Print the table and write the file."""
    settings = parse_arguments()
    torch.set_num_threads(settings.threads)
    prompts = random_prompts(settings) if settings.bundle is None else prompts_of_test_split(settings)
    cases, written = [], []
    for name, model in models(settings):
        ways = ways_of(model, prompts, settings)
        answer_tokens = {way: work() for way, work in ways.items()}
        rounds = in_turns({way: seconds_of(work) for way, work in ways.items()}, rounds=settings.rounds, warm_up=0)
        cases.append(Case(name, "s", False, rounds))
        written.append(f"{name} " + ", ".join(f"{count:,} by {way}" for way, count in answer_tokens.items()))
        print(name, flush=True)
    lengths = sorted(map(len, prompts))
    notes = (
        f"{len(prompts):,} prompts of {lengths[0]} to {lengths[-1]} tokens, answers of up to {settings.max_new_tokens} "
        f"tokens, {settings.batch_rows} rows at once. Tokens written: {'; '.join(written)}."
    )
    report("beam_search", "How much longer does beam search take than greedy decoding?", cases, notes=notes)


def ways_of(
    model: LanguageModel, prompts: list[list[int]], settings: argparse.Namespace
) -> dict[str, Callable[[], int]]:
    """Each way to answer all prompts, which gives the number of tokens that it wrote, or ranked."""
    ways: dict[str, Callable[[], int]] = {"greedy": partial(decode_greedily, model, prompts, settings)}
    for beams in settings.beams:
        ways[counted(beams, "beam")] = partial(decode_by_beams, model, prompts, settings, beams)
    if settings.choices:
        choices = random_choices(settings)
        ways[f"ranking {counted(len(choices), 'choice')}"] = partial(rank, model, prompts, choices, settings)
    return ways


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["lstm", "gru", "transformer"], help="names in conf/model")
    parser.add_argument(
        "--override", nargs="*", default=[], help="settings as Hydra reads them: model.attention_span=64"
    )
    parser.add_argument("--bundle", type=Path, help="a trained bundle instead of fresh models")
    parser.add_argument("--tokens", type=Path, default=Path("data/tokens"), help="what the bundle was trained on")
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shortest", type=int, default=5)
    parser.add_argument("--longest", type=int, default=40)
    parser.add_argument("--max-new-tokens", type=int, default=40)
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--choices", type=int, default=0, help="rank so many choices of 1 to 4 tokens too")
    parser.add_argument("--length-penalty", type=float, default=1.0)
    parser.add_argument("--batch-rows", type=int, default=256)
    parser.add_argument("--vocabulary-size", type=int, default=4096)
    parser.add_argument("--sharpness", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


def random_prompts(settings: argparse.Namespace) -> list[list[int]]:
    draw = random.Random(0)
    lengths = [draw.randint(settings.shortest, settings.longest) for _ in range(settings.prompts)]
    return [
        [SEPARATOR, *(draw.randrange(1, settings.vocabulary_size) for _ in range(length - 2)), SEPARATOR]
        for length in lengths
    ]


def prompts_of_test_split(settings: argparse.Namespace) -> list[list[int]]:
    separator_id = load_bundle(settings.bundle).tokenizer.separator_id
    return prompts_of(TokenStore.open(settings.tokens, "test"), separator_id=separator_id)[: settings.prompts]


def random_choices(settings: argparse.Namespace) -> list[list[int]]:
    draw = random.Random(1)
    return [
        [draw.randrange(1, settings.vocabulary_size) for _ in range(draw.randint(1, 4))]
        for _ in range(settings.choices)
    ]


def models(settings: argparse.Namespace) -> list[tuple[str, LanguageModel]]:
    if settings.bundle is not None:
        bundle = load_bundle(settings.bundle)
        settings.vocabulary_size = bundle.model.vocabulary_size
        return [(settings.bundle.name, bundle.model)]
    return [(name, fresh_model(name, settings)) for name in settings.models]


def fresh_model(name: str, settings: argparse.Namespace) -> LanguageModel:
    torch.manual_seed(0)
    model = build_model(
        compose([f"model={name}", *settings.override])["model"],
        vocabulary_size=settings.vocabulary_size,
        context_length=settings.longest + settings.max_new_tokens,
        path="model",
    )
    for matrix in model.embedding_parameters():
        torch.nn.init.normal_(matrix, std=settings.sharpness * matrix.shape[1] ** -0.5)
    return model.eval()


def decode_greedily(model: LanguageModel, prompts: list[list[int]], settings: argparse.Namespace) -> int:
    written = 0
    for batch in batches_by_length(prompts, rows=settings.batch_rows):
        answers = generate(
            model,
            [prompts[number] for number in batch],
            max_new_tokens=settings.max_new_tokens,
            sampling=GREEDY,
            stop_ids=frozenset({SEPARATOR}),
            seed=0,
        )
        written += sum(map(len, answers))
    return written


def decode_by_beams(model: LanguageModel, prompts: list[list[int]], settings: argparse.Namespace, beams: int) -> int:
    found = beam_search(
        model,
        prompts,
        beams=beams,
        num_best=1,
        max_new_tokens=settings.max_new_tokens,
        length_penalty=settings.length_penalty,
        stop_id=SEPARATOR,
        batch_rows=settings.batch_rows,
    )
    return sum(len(best.tokens) for [best] in found)


def rank(model: LanguageModel, prompts: list[list[int]], choices: list[list[int]], settings: argparse.Namespace) -> int:
    rank_choices(model, prompts, choices, stop_id=SEPARATOR, batch_rows=settings.batch_rows)
    return sum(map(len, choices)) * len(prompts)


def seconds_of(work: Callable[[], int]) -> Callable[[], float]:
    """A measurement of one round."""

    def measure() -> float:
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    return measure


if __name__ == "__main__":
    main()

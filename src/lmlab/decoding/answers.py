"""The one door from prompts to answers, however a task decodes."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from tqdm import tqdm

from lmlab.data.task import BeamDecoding, DecodingSettings, RankingDecoding, SamplingDecoding
from lmlab.decoding.beam import beam_search
from lmlab.decoding.generate import generate
from lmlab.decoding.ranking import rank_choices
from lmlab.decoding.reading import batches_by_length
from lmlab.decoding.sampling import NO_NUMBERS
from lmlab.errors import InputError
from lmlab.models.architectures.language_model import LanguageModel
from lmlab.text import digest_of

Prompts = Sequence[Sequence[int]]


class Answer(NamedTuple):
    """What a model answers to a prompt."""

    tokens: list[int]
    """Without the separator that ends it."""
    log_likelihood: float | None
    """Nats of the answer, with that separator where it has one; None if it was sampled."""
    probability: float | None
    """Share among all choices of the task; None if there are none."""


def answer_prompts(
    model: LanguageModel,
    prompts: Prompts,
    decoding: DecodingSettings,
    *,
    choices: Prompts,
    separator_id: int,
    seed: int,
    batch_rows: int,
    shows_progress: bool = True,
) -> list[Answer]:
    """One answer a prompt, in the order of the prompts, which begin and end with the separator.

    At most batch_rows rows are read side by side (or as many as a prompt has beams, if that is more); the answers
    do not depend on it. A prompt given several times is sampled anew each time.
    Raises: InputError if prompt and answer are longer than the model can read.
    """
    if isinstance(decoding, SamplingDecoding):
        batches = _unlike_prompts(prompts, rows=batch_rows)
    else:
        rows = batch_rows // decoding.beams if isinstance(decoding, BeamDecoding) else batch_rows
        batches = ((0, batch) for batch in batches_by_length(prompts, rows=rows))

    def answer(some: Prompts, occurrence: int) -> list[Answer]:
        match decoding:
            case SamplingDecoding():
                return _sample(model, some, decoding, stop_id=separator_id, seed=seed, occurrence=occurrence)
            case BeamDecoding():
                return _search(model, some, decoding, stop_id=separator_id, batch_rows=batch_rows)
            case RankingDecoding():
                return _rank(model, some, choices, stop_id=separator_id, batch_rows=batch_rows)

    return _in_order(prompts, batches, answer, shows_progress=shows_progress)


def _in_order(
    prompts: Prompts,
    batches: Iterable[tuple[int, list[int]]],
    answer: Callable[[Prompts, int], list[Answer]],
    *,
    shows_progress: bool,
) -> list[Answer]:
    answers: dict[int, Answer] = {}
    with tqdm(total=len(prompts), unit="prompt", desc="answering", disable=None if shows_progress else True) as bar:
        for occurrence, batch in batches:
            answers.update(zip(batch, answer([prompts[number] for number in batch], occurrence), strict=True))
            bar.update(len(batch))
    return [answers[number] for number in range(len(prompts))]


def _unlike_prompts(prompts: Prompts, *, rows: int) -> Iterator[tuple[int, list[int]]]:
    """Batches in which no prompt stands twice, and the how manieth time it is that theirs stand there."""
    seen: Counter[tuple[int, ...]] = Counter()
    rounds: list[list[int]] = []
    for number, prompt in enumerate(map(tuple, prompts)):
        if seen[prompt] == len(rounds):
            rounds.append([])
        rounds[seen[prompt]].append(number)
        seen[prompt] += 1
    for occurrence, numbers in enumerate(rounds):
        for batch in batches_by_length([prompts[number] for number in numbers], rows=rows):
            yield occurrence, [numbers[place] for place in batch]


def _sample(
    model: LanguageModel, prompts: Prompts, decoding: SamplingDecoding, *, stop_id: int, seed: int, occurrence: int
) -> list[Answer]:
    written = generate(
        model,
        prompts,
        max_new_tokens=decoding.max_new_tokens,
        sampling=decoding.sampling,
        stop_ids=frozenset({stop_id}),
        seed=int(digest_of([seed, occurrence])[:15], 16) if occurrence else seed,
    )
    return [Answer(tokens, None, None) for tokens in written]


def _search(
    model: LanguageModel, prompts: Prompts, decoding: BeamDecoding, *, stop_id: int, batch_rows: int
) -> list[Answer]:
    found = beam_search(
        model,
        prompts,
        beams=decoding.beams,
        num_best=1,
        max_new_tokens=decoding.max_new_tokens,
        length_penalty=decoding.length_penalty,
        stop_id=stop_id,
        batch_rows=batch_rows,
    )
    if not all(found):
        raise InputError(NO_NUMBERS)
    return [Answer(best.tokens, best.log_likelihood, None) for [best] in found]


def _rank(model: LanguageModel, prompts: Prompts, choices: Prompts, *, stop_id: int, batch_rows: int) -> list[Answer]:
    if not choices:
        raise ValueError("decoding.name=ranking needs choices to rank, found none")
    nats = rank_choices(model, prompts, choices, stop_id=stop_id, batch_rows=batch_rows)
    share, best = torch.softmax(nats, dim=-1).max(dim=-1)
    likeliest = nats.gather(1, best.unsqueeze(1)).squeeze(1)
    return [
        Answer(list(choices[choice]), log_likelihood, probability)
        for choice, log_likelihood, probability in zip(best.tolist(), likeliest.tolist(), share.tolist(), strict=True)
    ]

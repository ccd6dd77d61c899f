"""Texts that the model writes by itself, for people to read."""

from typing import NamedTuple

from lmlab.bundle import Bundle
from lmlab.data.store import TokenStore
from lmlab.data.task import SamplingDecoding
from lmlab.decoding.generate import generate
from lmlab.evaluation.settings import SampleSettings


class Sample(NamedTuple):
    """What the model was given (nothing, or the beginning of a test record) and how it went on."""

    prompt: str
    text: str


def generate_samples(
    bundle: Bundle, store: TokenStore, settings: SampleSettings, *, decoding: SamplingDecoding, seed: int
) -> list[Sample]:
    """Samples from nothing, then samples that go on from the first tokens of test records."""
    separator = bundle.tokenizer.separator_id
    openings = [[] for _ in range(settings.num_unprompted)] + openings_of(store, settings)
    answers = generate(
        bundle.model,
        [[separator, *opening] for opening in openings],
        max_new_tokens=decoding.max_new_tokens,
        sampling=decoding.sampling,
        stop_ids=frozenset({separator}),
        seed=seed,
    )
    decode = bundle.tokenizer.decode
    return [Sample(decode(opening), decode(answer)) for opening, answer in zip(openings, answers, strict=True)]


def openings_of(store: TokenStore, settings: SampleSettings) -> list[list[int]]:
    """The first tokens of records spread evenly over those with room to go on."""
    lengths = store.offsets[1:] - store.offsets[:-1]
    is_piece = [False, *(store.documents[1:] == store.documents[:-1])]
    roomy = [
        record
        for record in range(store.num_records)
        if not is_piece[record] and lengths[record] > 2 * settings.prompt_tokens
    ]
    count = min(settings.num_prompted, len(roomy))
    chosen = [roomy[number * len(roomy) // count] for number in range(count)]
    return [store.record(record)[: settings.prompt_tokens].tolist() for record in chosen]

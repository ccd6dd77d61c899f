"""How a split is read: every target once, with the right context, whatever the batches are."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from lmlab.data.store import TokenStore
from lmlab.evaluation.scoring import Span, batches_of, documents_of, examples_of, score_tokens, target_mask, windows_of
from lmlab.evaluation.settings import ReadingSettings
from lmlab.models.architectures.language_model import LanguageModel, State

VOCABULARY = 5
CPU = torch.device("cpu")


class SumModel(LanguageModel):
    """Logits that depend on every token that is visible, weighted by how far it lies back."""

    def __init__(self, context_length: int | None) -> None:
        super().__init__()
        self.context_length, self.vocabulary_size = context_length, VOCABULARY

    def read(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        memory = torch.zeros(len(tokens), dtype=torch.float64) if state is None else state[0]
        logits = []
        for column in tokens.T:
            memory = 0.9 * memory + column
            logits.append(torch.sin(memory.unsqueeze(1) * torch.arange(1, VOCABULARY + 1)))
        return torch.stack(logits, dim=1).float(), (memory,)

    def logits(self, features: Tensor) -> Tensor:
        return features


def make_store(
    records: Sequence[Sequence[int]], *, documents: Sequence[int] | None = None, prompts: Sequence[int] | None = None
) -> TokenStore:
    lengths = [len(record) for record in records]
    return TokenStore(
        tokens=np.array([token for record in records for token in record], dtype=np.uint16),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        prompt_lengths=np.array(prompts or [0] * len(records), dtype=np.int32),
        target_bytes=np.array([3 * length for length in lengths], dtype=np.int64),
        documents=np.array(documents or range(len(records)), dtype=np.int64),
    )


def random_records(seed: int, lengths: Sequence[int]) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    return [[*generator.integers(1, VOCABULARY, length - 1).tolist(), 0] for length in lengths]


def reading(*, batch_tokens: int = 64, chunk_tokens: int = 7, overlap_share: float = 0.5) -> ReadingSettings:
    return ReadingSettings(batch_tokens=batch_tokens, chunk_tokens=chunk_tokens, overlap_share=overlap_share)


def nats_of(model: LanguageModel, context: Sequence[int], target: int) -> float:
    logits = model(torch.tensor([context]))[0][0, -1].double().tolist()
    return math.log(sum(math.exp(value) for value in logits)) - logits[target]


LENGTHS = (3, 40, 1, 8, 9, 17, 2, 25)


def test_a_model_without_bound_scores_each_token_with_its_whole_document() -> None:
    records = random_records(0, LENGTHS)
    model = SumModel(None)
    scores = score_tokens(model, make_store(records), reading(), separator_id=0, device=CPU)
    expected = [
        nats_of(model, [0, *record[:place]], record[place]) for record in records for place in range(len(record))
    ]
    np.testing.assert_allclose(scores.nats, expected, rtol=1e-4)


def test_a_window_gives_each_token_the_context_that_the_windows_promise() -> None:
    records = random_records(1, LENGTHS)
    model, length, overlap = SumModel(8), 8, 4
    scores = score_tokens(model, make_store(records), reading(), separator_id=0, device=CPU)
    expected = []
    for record in records:
        inputs, scored_to, start = [0, *record[:-1]], min(length, len(record)), 0
        for place in range(len(record)):
            if place >= scored_to:
                scored_to = min(scored_to + length - overlap, len(record))
                start = scored_to - length
            expected.append(nats_of(model, inputs[start : place + 1], record[place]))
    np.testing.assert_allclose(scores.nats, expected, rtol=1e-4)


@pytest.mark.parametrize("document_length", [1, 7, 8, 9, 12, 13, 100])
@pytest.mark.parametrize("overlap", [0, 3, 4, 7])
def test_windows_score_every_token_once_with_more_context_than_the_overlap(document_length: int, overlap: int) -> None:
    document = Span(50, 50 + document_length, 50, True)
    windows = list(windows_of(document, context_length=8, overlap_tokens=overlap))
    scored = [place for window in windows for place in range(window.score_from, window.end)]
    assert scored == list(range(50, 50 + document_length))
    assert all(window.length <= 8 and window.begin >= 50 for window in windows)
    assert all(window.begin == 50 or window.score_from - window.begin >= overlap for window in windows)
    assert all(window.opens_document == (window.begin == 50) for window in windows)


@pytest.mark.parametrize("context_length", [None, 8])
def test_pieces_of_a_document_score_as_the_document_in_one_record(context_length: int | None) -> None:
    whole, other = random_records(2, (30, 9))
    pieces = [whole[:11], whole[11:12], whole[12:], other]
    model = SumModel(context_length)
    cut = score_tokens(model, make_store(pieces, documents=[4, 4, 4, 5]), reading(), separator_id=0, device=CPU)
    one = score_tokens(model, make_store([whole, other]), reading(), separator_id=0, device=CPU)
    np.testing.assert_array_equal(cut.nats, one.nats)


@pytest.mark.parametrize("context_length", [None, 8])
@pytest.mark.parametrize("batch_tokens", [1, 16, 10_000])
def test_batch_and_chunk_sizes_change_nothing(context_length: int | None, batch_tokens: int) -> None:
    store, model = make_store(random_records(3, LENGTHS)), SumModel(context_length)
    small = score_tokens(model, store, reading(batch_tokens=batch_tokens, chunk_tokens=3), separator_id=0, device=CPU)
    large = score_tokens(model, store, reading(chunk_tokens=1000), separator_id=0, device=CPU)
    np.testing.assert_allclose(small.nats, large.nats, rtol=1e-5)
    np.testing.assert_array_equal(small.correct, large.correct)


def test_the_order_of_records_changes_nothing() -> None:
    records = random_records(4, LENGTHS)
    model = SumModel(8)
    forward = score_tokens(model, make_store(records), reading(), separator_id=0, device=CPU)
    backward = score_tokens(model, make_store(records[::-1]), reading(), separator_id=0, device=CPU)
    bounds = np.cumsum(LENGTHS)[:-1]
    pairs = zip(
        np.split(forward.nats, bounds), np.split(backward.nats, np.cumsum(LENGTHS[::-1])[:-1])[::-1], strict=True
    )
    for here, there in pairs:
        np.testing.assert_allclose(here, there, rtol=1e-5)


def test_prompts_are_read_but_not_scored() -> None:
    store = make_store([[1, 2, 3, 0], [4, 0]], prompts=[2, 0])
    scores = score_tokens(SumModel(None), store, reading(), separator_id=0, device=CPU)
    assert target_mask(store).tolist() == [False, False, True, True, True, True]
    assert scores.nats[:2].tolist() == [0, 0]
    assert scores.nats[2] == pytest.approx(nats_of(SumModel(None), [0, 1, 2], 3), rel=1e-5)


def test_examples_sum_over_the_records() -> None:
    store = make_store([[1, 2, 0], [3, 0]], prompts=[1, 0])
    scores = score_tokens(SumModel(None), store, reading(), separator_id=0, device=CPU)
    examples = examples_of(store, scores)
    assert examples.tokens.tolist() == [2, 2]
    assert examples.bytes.tolist() == [9, 6]
    np.testing.assert_allclose(examples.nats, [scores.nats[1:3].sum(), scores.nats[3:].sum()], rtol=1e-6)


def test_correct_is_whether_the_target_has_the_highest_logit() -> None:
    records = random_records(5, (30,))
    model = SumModel(None)
    scores = score_tokens(model, make_store(records), reading(), separator_id=0, device=CPU)
    logits = model(torch.tensor([[0, *records[0][:-1]]]))[0][0]
    assert scores.correct.tolist() == [
        int(row.argmax()) == token for row, token in zip(logits, records[0], strict=True)
    ]


def test_documents_are_runs_of_equal_numbers() -> None:
    store = make_store([[1], [2, 3], [4, 0], [0]], documents=[7, 7, 2, 3])
    assert [(span.begin, span.end) for span in documents_of(store)] == [(0, 3), (3, 5), (5, 6)]


def test_batches_hold_at_most_the_allowed_tokens_with_padding() -> None:
    spans = [Span(0, length, 0, True) for length in (5, 1, 9, 3, 3, 30, 2)]
    batches = list(batches_of(spans, batch_tokens=10, longest_read=8))
    assert sorted(span.length for batch in batches for span in batch) == [1, 2, 3, 3, 5, 9, 30]
    assert all(len(batch) == 1 or len(batch) * min(8, max(s.length for s in batch)) <= 10 for batch in batches)

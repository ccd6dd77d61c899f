"""Nats of every target token of a split, for any model, through the state seam alone.

    context_length None:   [----chunk----][----chunk----][--]      one document, the state carried on
    context_length n:      [------n------]
                                  [......------]                   ...... is read again, not scored again
                                        [......------]

A document is what its records (pieces, in order) hold together, read from one separator on. Batches hold
documents or windows of about equal length, padded on the right; the order of batches changes nothing.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from lmlab.data.store import TokenStore
from lmlab.evaluation.intervals import number_runs
from lmlab.evaluation.metric import Examples
from lmlab.evaluation.settings import ReadingSettings
from lmlab.models.architectures.language_model import LanguageModel, State, select_rows

# Logits are made and turned to nats so many tokens at a time, those of prompts not at all: with 8192 tokens in the
# vocabulary, 32 MB; with the 150,000 of a pretrained model, 600 MB.
NATS_ROWS = 1024


class TokenScores(NamedTuple):
    """One value for each token of a split, in its order; 0 and False at prompts, which are not scored."""

    nats: NDArray[np.float32]
    correct: NDArray[np.bool_]
    is_target: NDArray[np.bool_]


class Span(NamedTuple):
    """A stretch of a split's tokens to read at once: targets from `begin` to `end`, scored from `score_from` on."""

    begin: int
    end: int
    score_from: int
    opens_document: bool

    @property
    def length(self) -> int:
        """Tokens to read."""
        return self.end - self.begin


def target_mask(store: TokenStore) -> NDArray[np.bool_]:
    """Which tokens of the split are targets; the others are prompts."""
    prompts = np.asarray(store.prompt_lengths, dtype=np.int64)
    targets = np.diff(store.offsets) - prompts
    repeats = np.stack([prompts, targets], axis=1).ravel()
    return np.repeat(np.tile([False, True], len(prompts)), repeats)


def documents_of(store: TokenStore) -> list[Span]:
    """The documents of a split, each as one span over all its pieces."""
    count, numbers = number_runs(np.asarray(store.documents))
    first_records = np.searchsorted(numbers, np.arange(count))
    bounds = [int(store.offsets[record]) for record in first_records] + [int(store.offsets[-1])]
    spans = [Span(begin, end, begin, True) for begin, end in zip(bounds, bounds[1:], strict=False)]
    return [span for span in spans if span.length > 0]


def windows_of(document: Span, *, context_length: int, overlap_tokens: int) -> Iterator[Span]:
    """The windows that a document is read in: each token is scored once.

    Every token is scored in a window that begins at the document's start or more than `overlap_tokens` before it.
    """
    scored_to = min(document.begin + context_length, document.end)
    yield Span(document.begin, scored_to, document.begin, True)
    while scored_to < document.end:
        end = min(scored_to + context_length - overlap_tokens, document.end)
        yield Span(end - context_length, end, scored_to, False)
        scored_to = end


def batches_of(spans: Sequence[Span], *, batch_tokens: int, longest_read: int) -> Iterator[list[Span]]:
    """The spans by falling length, in batches of at most `batch_tokens` with padding, or of one span."""
    batch: list[Span] = []
    for span in sorted(spans, key=lambda span: -span.length):
        if batch and (len(batch) + 1) * min(batch[0].length, longest_read) > batch_tokens:
            yield batch
            batch = []
        batch.append(span)
    if batch:
        yield batch


def overlap_tokens_of(context_length: int, settings: ReadingSettings) -> int:
    """Tokens that a window shares with the one before it."""
    return int(context_length * settings.overlap_share)


@torch.inference_mode()
def score_tokens(
    model: LanguageModel, store: TokenStore, settings: ReadingSettings, *, separator_id: int, device: torch.device
) -> TokenScores:
    """Nats of each target token of the split, and whether the token was the model's first choice."""
    is_target = target_mask(store)
    scores = TokenScores(np.zeros(len(is_target), np.float32), np.zeros(len(is_target), np.bool_), is_target)
    reader = _Reader(model, np.asarray(store.tokens), separator_id, device, scores)
    spans = documents_of(store)
    with tqdm(total=len(is_target), unit="token", unit_scale=True, desc="scoring", disable=None) as bar:
        if model.context_length is None:
            for batch in batches_of(spans, batch_tokens=settings.batch_tokens, longest_read=settings.chunk_tokens):
                reader.read_carrying_state(batch, chunk_tokens=settings.chunk_tokens)
                bar.update(sum(span.length for span in batch))
        else:
            length = model.context_length
            overlap = overlap_tokens_of(length, settings)
            windows = [
                window
                for document in spans
                for window in windows_of(document, context_length=length, overlap_tokens=overlap)
            ]
            for batch in batches_of(windows, batch_tokens=settings.batch_tokens, longest_read=length):
                reader.read(batch, None)
                bar.update(sum(span.end - span.score_from for span in batch))
    return scores


class _Reader(NamedTuple):
    model: LanguageModel
    tokens: NDArray
    separator_id: int
    device: torch.device
    scores: TokenScores

    def read_carrying_state(self, documents: Sequence[Span], *, chunk_tokens: int) -> None:
        """Score documents, longest first, chunk by chunk; a document that has ended leaves the batch."""
        state = None
        for done in range(0, documents[0].length, chunk_tokens):
            chunks = [_chunk(span, done, chunk_tokens) for span in documents if span.length > done]
            if state is not None:
                state = select_rows(state, slice(len(chunks)))
            state = self.read(chunks, state)

    def read(self, spans: Sequence[Span], state: State | None) -> State:
        """Score the spans in one forward pass that goes on from this state; returns the state after it."""
        inputs = np.full((len(spans), max(span.length for span in spans)), self.separator_id, dtype=np.int64)
        for row, span in zip(inputs, spans, strict=True):
            shift = int(span.opens_document)  # the separator stands there already
            row[shift : span.length] = self.tokens[span.begin - 1 + shift : span.end - 1]
        features, after = self.model.read(torch.from_numpy(inputs).to(self.device), state)
        self._keep(features, spans)
        return after

    def _keep(self, features: Float[Tensor, "batch time features"], spans: Sequence[Span]) -> None:
        time = features.shape[1]
        spread = [np.arange(span.score_from, span.end) for span in spans]
        place = np.concatenate(spread)
        row = np.concatenate(
            [
                places - span.begin + number * time
                for number, (places, span) in enumerate(zip(spread, spans, strict=True))
            ]
        )
        chosen = self.scores.is_target[place]
        place, row = place[chosen], row[chosen]
        targets = torch.from_numpy(self.tokens[place].astype(np.int64)).to(self.device)
        rows = torch.from_numpy(row).to(self.device)
        nats, correct = _nats_and_hits(self.model, features.flatten(0, 1), rows, targets)
        self.scores.nats[place] = nats.cpu().numpy()
        self.scores.correct[place] = correct.cpu().numpy()


def _chunk(document: Span, done: int, chunk_tokens: int) -> Span:
    begin = document.begin + done
    return Span(begin, min(begin + chunk_tokens, document.end), begin, done == 0)


def _nats_and_hits(
    model: LanguageModel,
    features: Float[Tensor, "rows features"],
    rows: Int[Tensor, " tokens"],
    targets: Int[Tensor, " tokens"],
) -> tuple[Float[Tensor, " tokens"], Tensor]:
    nats, hits = [features.new_empty(0, dtype=torch.float32)], [targets.new_empty(0, dtype=torch.bool)]
    for part, wanted in zip(rows.split(NATS_ROWS), targets.split(NATS_ROWS), strict=True):
        chosen = model.logits(features[part]).float()  # (part, vocabulary)
        nats.append(nn.functional.cross_entropy(chosen, wanted, reduction="none"))
        hits.append(chosen.argmax(dim=-1) == wanted)
    return torch.cat(nats), torch.cat(hits)


def examples_of(store: TokenStore, scores: TokenScores) -> Examples:
    """The sums over each record of the split; nothing is answered yet."""
    records = len(store.offsets) - 1
    record_of_token = np.repeat(np.arange(records), np.diff(store.offsets))

    def by_record(values: NDArray) -> NDArray[np.float64]:
        return np.bincount(record_of_token, weights=values, minlength=records).astype(np.float64)

    return Examples(
        nats=by_record(scores.nats),
        tokens=by_record(scores.is_target),
        bytes=np.asarray(store.target_bytes, dtype=np.float64),
        correct=by_record(scores.correct),
        answers=None,
    )


def reading_sentence(context_length: int | None, settings: ReadingSettings) -> str:
    """How context was given, for the report."""
    if context_length is None:
        return (
            "Every document was read whole, from its first token to its last, the state carried over its pieces: "
            "each token is scored with all that stands before it."
        )
    overlap = overlap_tokens_of(context_length, settings)
    return (
        f"Documents of up to {context_length} tokens were read whole; longer ones through a window of "
        f"{context_length} tokens that moves on by {context_length - overlap}: each token is scored with all that "
        f"stands before it or at least {overlap} tokens of it."
    )

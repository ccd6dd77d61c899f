"""A model that answers texts."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import NamedTuple

import torch

from lmlab.applying.streaming import TextStream
from lmlab.data.prompts import encode_prompts
from lmlab.data.task import BeamDecoding, DecodingSettings, LearnedTask, RankingDecoding, SamplingDecoding
from lmlab.data.tokenizer import Tokenizer
from lmlab.decoding.answers import answer_prompts
from lmlab.decoding.generate import write
from lmlab.decoding.ranking import rank_choices
from lmlab.decoding.sampling import NO_NUMBERS
from lmlab.errors import InputError
from lmlab.models.architectures.language_model import LanguageModel
from lmlab.text import is_text, nearest

OPENING = "text"
"""The field of a task without a prompt: what the model goes on from."""

Record = Mapping[str, str]


class Reply(NamedTuple):
    """What a model answers."""

    text: str
    log_likelihood: float | None
    """Nats; None if the answer was sampled."""
    probabilities: dict[str, float] | None
    """Of each label, likeliest first; None for a task that writes its answers."""
    tokens: list[int]
    """Of the text, without the separator that ends it."""


class Piece(NamedTuple):
    """A part of a reply, as it is written."""

    text: str
    tokens: list[int]
    """Those that were written since the last piece; a character that they leave in parts comes with a later piece."""


class Applier:
    """A model with its tokenizer and the task that it was trained on."""

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer, task: LearnedTask, *, engine: str) -> None:
        self.model, self.tokenizer, self.task, self.engine = model, tokenizer, task, engine
        """`engine` names the software that runs the model."""
        self.fields = task.prompt_fields() or [OPENING]
        self._choices = tokenizer.encode(task.choices)

    def answer(
        self,
        records: Sequence[Record],
        *,
        decoding: DecodingSettings | None = None,
        seed: int = 1,
        batch_rows: int = 32,
    ) -> list[Reply]:
        """The reply to each record, in order; at most batch_rows rows are read side by side.

        Raises: InputError for a record without a field, or whose prompt the model cannot read.
        """
        decoding = decoding or self.task.decoding
        prompts = self.prompts(records, decoding)
        if isinstance(decoding, RankingDecoding):
            return self._rank(prompts, batch_rows=batch_rows)
        separator = self.tokenizer.separator_id
        answers = answer_prompts(
            self.model,
            prompts,
            decoding,
            choices=[],
            separator_id=separator,
            seed=seed,
            batch_rows=batch_rows,
            shows_progress=False,
        )
        if not all(answer.log_likelihood is None or isfinite(answer.log_likelihood) for answer in answers):
            raise InputError(NO_NUMBERS)
        return [
            Reply(self.tokenizer.decode(answer.tokens), answer.log_likelihood, None, answer.tokens)
            for answer in answers
        ]

    def stream(self, record: Record, *, decoding: DecodingSettings | None = None, seed: int = 1) -> Iterator[str]:
        """The text of the reply in pieces, as they are written; in one piece where it is searched or chosen."""
        for piece in self.pieces(record, decoding=decoding, seed=seed):
            yield piece.text

    def pieces(self, record: Record, *, decoding: DecodingSettings | None = None, seed: int = 1) -> Iterator[Piece]:
        """What `stream` gives, each piece with its tokens."""
        decoding = decoding or self.task.decoding
        if not isinstance(decoding, SamplingDecoding):
            [reply] = self.answer([record], decoding=decoding)
            yield Piece(reply.text, reply.tokens)
            return
        text = TextStream(self.tokenizer)
        steps = write(
            self.model,
            self.prompts([record], decoding),
            max_new_tokens=decoding.max_new_tokens,
            sampling=decoding.sampling,
            stop_ids=frozenset({self.tokenizer.separator_id}),
            seed=seed,
        )
        for step in steps:
            for token in step.values():
                yield Piece(text.add(token), [token])
        yield Piece(text.rest(), [])

    def prompts(self, records: Sequence[Record], decoding: DecodingSettings) -> list[list[int]]:
        """The tokens that the model reads of each record, between separators.

        Raises: InputError for a record without a field, or whose prompt the model cannot read.
        """
        for record in records:
            self._check_fields(record)
        separator = self.tokenizer.separator_id
        if not self.task.prompt:
            openings = self.tokenizer.encode([record[OPENING] for record in records])
        else:
            names = [f"number {number}" for number in range(1, len(records) + 1)]
            openings = encode_prompts(self.task, records, names, self.tokenizer).ids
        for ids in openings:
            self._check_tokens(ids, decoding)
        return [[separator, *ids] for ids in openings]

    def _check_fields(self, record: Record) -> None:
        for name in record:
            if name not in self.fields:
                raise InputError(f"{name}: the task {self.task.name} has no such field; {nearest(name, self.fields)}")
        for name in self.fields:
            if name not in record:
                raise InputError(
                    f"{name}: this field is missing; the task {self.task.name} asks for {' and '.join(self.fields)}"
                )
            if not isinstance(record[name], str):
                raise InputError(f"{name}: must be a text, found {record[name]!r}")
            if not is_text(record[name]):
                raise InputError(f"{name}: is no text: it holds half of a surrogate pair")
            if self.task.prompt and not record[name].strip():
                raise InputError(f"{name}: is empty; give the text that the model is to answer")

    def _check_tokens(self, ids: Sequence[int], decoding: DecodingSettings) -> None:
        text = [token for token in ids if token != self.tokenizer.separator_id]
        unknown = self.tokenizer.unknown_id
        if text and unknown is not None and all(token == unknown for token in text):
            raise InputError("the text has no character that the model knows: its tokenizer never saw any of them")
        room = self._prompt_room(decoding)
        if room is not None and len(ids) + 1 > room:
            raise InputError(
                f"the prompt has {len(ids) + 1} tokens, and the model reads {room} at most before an answer: shorten it"
            )

    def _prompt_room(self, decoding: DecodingSettings) -> int | None:
        """The most tokens that a prompt may have; None where there is no bound."""
        bound = self.model.context_length
        if bound is None:
            return None
        match decoding:
            case SamplingDecoding():
                # It goes on beyond what the model reads at once.
                return bound
            case BeamDecoding():
                return bound - decoding.max_new_tokens + 1
            case RankingDecoding():
                return bound - max(map(len, self._choices))

    def _rank(self, prompts: Sequence[Sequence[int]], *, batch_rows: int) -> list[Reply]:
        labels = self.task.choices
        nats = rank_choices(
            self.model,
            prompts,
            self._choices,
            stop_id=self.tokenizer.separator_id,
            batch_rows=batch_rows,
        )  # (prompts, choices)
        replies = []
        if not nats.isfinite().all():
            raise InputError(NO_NUMBERS)
        for row, shares in zip(nats, torch.softmax(nats, dim=-1), strict=True):
            order = shares.argsort(descending=True, stable=True).tolist()
            probabilities = {labels[choice]: float(shares[choice]) for choice in order}
            replies.append(Reply(labels[order[0]], float(row[order[0]]), probabilities, self._choices[order[0]]))
        return replies


def changed_decoding(decoding: DecodingSettings, changes: Mapping[str, float | int]) -> DecodingSettings:
    """How the task decodes, with these settings of it (max_new_tokens, temperature, beams, ...) changed.

    Raises: InputError for a setting that this way of decoding does not have, or a value out of range.
    """
    from lmlab.config import validate

    values = decoding.model_dump()
    for name, value in changes.items():
        if name in values:
            values[name] = value
        elif name in values.get("sampling", {}):
            values["sampling"][name] = value
        else:
            known = [key for key in (*values, *values.get("sampling", {})) if key not in ("name", "sampling")]
            raise InputError(
                f"{name}: the model decodes by {decoding.name}, which has {', '.join(known) or 'no settings'}"
            )
    return validate(type(decoding), values, path="decoding")

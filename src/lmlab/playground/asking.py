"""What a page shows while a model answers: one state after another, up to the whole answer or one line on a fault."""

import logging
from collections.abc import Iterator, Mapping
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from lmlab.errors import InputError

if TYPE_CHECKING:
    from lmlab.applying.applier import Applier, Record
    from lmlab.data.task import DecodingSettings
    from lmlab.playground.attention import Picture

MOST_CHARACTERS = 100_000
SECONDS_BETWEEN_STATES = 0.05
"""A page that is drawn anew for every token of a quick model would slow that model down."""
_LOGGER = logging.getLogger("lmlab")


class Question(NamedTuple):
    """What a model is asked, and how it is to answer."""

    record: "Record"
    changes: Mapping[str, float | int]
    """Of how the task decodes."""
    seed: int


class Shown(NamedTuple):
    """What a page shows of one model."""

    address: str = ""
    opening: str = ""
    """The text that the answer goes on from."""
    text: str = ""
    is_busy: bool = False
    is_waiting: bool = False
    """For the model before it."""
    probabilities: dict[str, float] | None = None
    notes: tuple[str, ...] = ()
    error: str = ""
    prompt: tuple[int, ...] = ()
    """Tokens of a task's prompt, with the separators around it; empty for a task without."""
    answer: tuple[int, ...] = ()
    picture: "Picture | None" = None


def values_of(decoding: "DecodingSettings") -> dict[str, float | int]:
    """The settings of how a task decodes, by name."""
    values = decoding.model_dump(exclude={"name"})
    sampling = values.pop("sampling", {})
    return {**values, **sampling}


def answering(applier: "Applier", question: Question) -> Iterator[Shown]:
    """The answer as it grows.

    Raises: InputError for what the model cannot read or a setting out of range.
    """
    from lmlab.applying.applier import OPENING, changed_decoding

    task = applier.task
    _check_lengths(question.record)
    decoding = changed_decoding(task.decoding, question.changes)
    [prompt] = applier.prompts([question.record], decoding)
    shown = Shown(is_busy=True, notes=_cut_notes(applier, question.record))
    shown = shown._replace(prompt=tuple(prompt)) if task.prompt else shown._replace(opening=question.record[OPENING])
    yield shown
    if decoding.name == "ranking":
        yield _ranked(applier, question, shown)
        return
    yield from _written(applier, question, decoding, shown)


def _check_lengths(record: "Record") -> None:
    for name, text in record.items():
        if len(text) > MOST_CHARACTERS:
            raise InputError(f"{name}: has {len(text):,} characters; the page takes {MOST_CHARACTERS:,} at most")


def _cut_notes(applier: "Applier", record: "Record") -> tuple[str, ...]:
    """Whether the prompt is cut, as it was in training."""
    from lmlab.data.prompts import encode_prompts

    cutting = applier.task.cutting
    if not applier.task.prompt or not encode_prompts(applier.task, [record], ["1"], applier.tokenizer).num_cut:
        return ()
    return (
        f"the {cutting.field} was cut at its {cutting.side}: the model was trained on {cutting.max_prompt_tokens} "
        "tokens of a prompt at most",
    )


def _ranked(applier: "Applier", question: Question, shown: Shown) -> Shown:
    begin = perf_counter()
    [reply] = applier.answer([question.record])
    note = f"{len(applier.task.choices)} labels ranked in {_duration(perf_counter() - begin)}"
    return shown._replace(
        text=reply.text,
        probabilities=reply.probabilities,
        answer=tuple(reply.tokens),
        notes=(*shown.notes, note),
        is_busy=False,
    )


def _written(applier: "Applier", question: Question, decoding: "DecodingSettings", shown: Shown) -> Iterator[Shown]:
    pieces = applier.pieces(question.record, decoding=decoding, seed=question.seed)
    # Only what the model takes: the page may be slower.
    seconds, begin = 0.0, perf_counter()
    for piece in pieces:
        seconds += perf_counter() - begin
        shown = shown._replace(text=shown.text + piece.text, answer=(*shown.answer, *piece.tokens))
        yield shown
        begin = perf_counter()
    yield shown._replace(is_busy=False, notes=(*shown.notes, _speed(len(shown.answer), seconds)))


def _speed(tokens: int, seconds: float) -> str:
    rate = f", {tokens / seconds:,.0f} a second" if seconds > 0 and tokens > 1 else ""
    return f"{tokens} {'token' if tokens == 1 else 'tokens'} in {_duration(seconds)}{rate}"


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def in_turn(steps: Iterator[Shown], turn: Lock, last: Shown) -> Iterator[Shown]:
    """The steps after `last`, each made while no other model works; a fault becomes one more, with a line on it."""
    while True:
        try:
            with turn:
                last = next(steps)
        except StopIteration:
            return
        except Exception as error:
            yield last._replace(is_busy=False, is_waiting=False, error=fault_line(error))
            return
        yield last


def fault_line(error: Exception) -> str:
    """What the page says of an error; one that is our own mistake leaves its traceback on the terminal."""
    if isinstance(error, InputError | OSError):
        return " ".join(str(error).split())
    _LOGGER.error("the page could not do what it was asked", exc_info=error)
    return f"something went wrong ({type(error).__name__}); the terminal that runs the page says more"


def paced(steps: Iterator[Shown]) -> Iterator[Shown]:
    """The steps, but for those that come too soon after the last one; the last step always comes."""
    held, due = None, 0.0
    for step in steps:
        held = step
        if perf_counter() >= due:
            yield step
            held, due = None, perf_counter() + SECONDS_BETWEEN_STATES
    if held is not None:
        yield held

"""Apply a model: it goes on from a text, translates, answers, summarizes or classifies, as it was trained to.

Without a text, each line of the pipe (or of --file) is one; on a terminal you are asked for one after another.
A task with several fields takes --field for each, or lines with a JSON object of them.

Examples:
  python -m pipelines.apply "Returns the"
  python -m pipelines.apply --field context="Paris is the capital of France." --field question="What is Paris?"
  python -m pipelines.apply --model models:/translation@champion --jsonl < sentences.txt
  python -m pipelines.apply -- "--text-that-looks-like-an-option"
"""

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from lmlab.applying import ADDRESSES
from lmlab.errors import InputError
from pipelines.command import CommandParser, parser_of, run_command

if TYPE_CHECKING:
    from lmlab.applying.applier import Applier, Reply
    from lmlab.data.task import DecodingSettings

DEFAULT_MODEL = "models/export"
SHOWN_LABELS = 5
LONGEST_LINE = 1 << 24
"""Bytes; a pipe may never end a line."""
DECODING = {
    "max_new_tokens": (int, "tokens that an answer has at most"),
    "temperature": (float, "0 takes the likeliest token each time"),
    "top_k": (int, "draw from the so many likeliest tokens; 0 is no bound"),
    "top_p": (float, "draw from the fewest likeliest tokens with this probability; 1 is no bound"),
    "beams": (int, "answers that are searched side by side"),
    "length_penalty": (float, "exponent of the length that a searched answer's likelihood is divided by"),
}


class Asked(NamedTuple):
    """One thing to answer, and where it came from, for error messages."""

    where: str
    record: dict[str, str]


def main() -> int:
    """Answer what is asked."""
    options = _parser().options()
    applier = _open(options)
    decoding = _decoding(applier, options)
    if options.texts or options.field:
        asked = [Asked("", record) for record in _records_of(applier, options)]
        if len(asked) == 1 and not options.jsonl:
            _stream(applier, asked[0].record, decoding, seed=options.seed)
            return 0
        _answer(applier, asked, decoding, options)
    elif options.file is None and sys.stdin.isatty():
        _converse(applier, decoding, options)
    else:
        _answer(applier, _lines(applier, options.file), decoding, options)
    return 0


def _parser() -> CommandParser:
    parser = parser_of("apply", __doc__)
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="what the model is to answer")
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        help="a bundle, an export folder, a folder of transformers, "
        f"or an address of MLflow such as models:/NAME@champion (default: {DEFAULT_MODEL})",
    )
    parser.add_argument("--field", action="append", default=[], metavar="NAME=TEXT", help="a field of the task")
    parser.add_argument("--file", type=Path, help="read the lines of this file")
    parser.add_argument("--jsonl", action="store_true", help="answer with one JSON object a line")
    parser.add_argument("--batch-rows", type=int, default=32, metavar="N", help="rows read side by side (default: 32)")
    parser.add_argument("--seed", type=int, default=1, help="of what is drawn (default: 1)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the processor (default: all cores)")
    parser.add_argument(
        "--engine",
        choices=["auto", "onnxruntime", "torch"],
        default="auto",
        help="what runs the model (default: the fastest that can)",
    )
    for name, (kind, hint) in DECODING.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N", help=f"{hint} (default: the task's)")
    return parser


def _open(options: Namespace) -> "Applier":
    for name in ("batch_rows", "threads"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')}: must be at least 1, found {value}")
    if sys.stderr.isatty():
        # What follows imports torch, which takes seconds.
        print(f"opening {options.model}", file=sys.stderr)
    import torch

    from lmlab.applying.opening import open_applier

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    folder = Path(options.model)
    if options.model.startswith(ADDRESSES):
        from lmlab.tracking.registry import model_folder

        folder = model_folder(Path.cwd(), options.model)
    return open_applier(folder, engine=options.engine)


def _decoding(applier: "Applier", options: Namespace) -> "DecodingSettings":
    from lmlab.applying.applier import changed_decoding

    changes = {name: getattr(options, name) for name in DECODING if getattr(options, name) is not None}
    return changed_decoding(applier.task.decoding, changes)


def _records_of(applier: "Applier", options: Namespace) -> list[dict[str, str]]:
    """What the command line asks."""
    if options.field:
        if options.texts:
            raise InputError(f"--field: stands in place of a text, found the text '{options.texts[0][:60]}' too")
        pairs = [given.partition("=") for given in options.field]
        if unpaired := [name for name, equals, _ in pairs if not equals]:
            raise InputError(f"--field {unpaired[0]}: must be NAME=TEXT, as in --field {applier.fields[0]}=...")
        return [{name: text for name, _, text in pairs}]
    return [_record_of(applier, text) for text in options.texts]


def _record_of(applier: "Applier", text: str) -> dict[str, str]:
    if not text:
        raise InputError("the text is empty: give the model something to answer")
    if len(applier.fields) > 1:
        asked = " ".join(f"--field {name}=..." for name in applier.fields)
        raise InputError(
            f"the task {applier.task.name} asks for {' and '.join(applier.fields)}: give {asked}, or lines with a "
            "JSON object of them"
        )
    return {applier.fields[0]: text}


def _lines(applier: "Applier", path: Path | None) -> Iterator[Asked]:
    """Each line of the file, or of the pipe, as a record."""
    if path is None:
        yield from _records_in(applier, sys.stdin.buffer, "line")
        return
    if not path.is_file():
        raise InputError(f"--file {path}: there is no such file")
    with path.open("rb") as stream:
        yield from _records_in(applier, stream, f"{path}, line")


def _records_in(applier: "Applier", stream: BinaryIO, name: str) -> Iterator[Asked]:
    for number, line in enumerate(iter(partial(stream.readline, LONGEST_LINE + 1), b""), start=1):
        where = f"{name} {number}: "
        if len(line) > LONGEST_LINE:
            raise InputError(f"{where}has more than {LONGEST_LINE:,} bytes: part it into several")
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise InputError(f"{where}is not UTF-8: save the text as UTF-8") from None
        try:
            yield Asked(where, _json_record(text) if len(applier.fields) > 1 else _record_of(applier, text))
        except InputError as error:
            raise InputError(f"{where}{error}") from None


def _json_record(line: str) -> dict[str, str]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON ({error}): write an object with the task's fields on each line") from None
    if not isinstance(record, dict):
        raise InputError("is no JSON object: write an object with the task's fields on each line")
    return record


def _answer(applier: "Applier", asked: Iterable[Asked], decoding: "DecodingSettings", options: Namespace) -> None:
    """Print the replies, a batch at a time; what came before a faulty record is answered first."""
    waiting = iter(asked)
    fault: InputError | None = None
    while fault is None:
        records: list[dict[str, str]] = []
        try:
            for one in islice(waiting, options.batch_rows):
                _check(applier, one, decoding)
                records.append(one.record)
        except InputError as error:
            fault = error
        if not records:
            break
        replies = applier.answer(records, decoding=decoding, seed=options.seed, batch_rows=options.batch_rows)
        for record, reply in zip(records, replies, strict=True):
            print(_json_line(record, reply) if options.jsonl else _line(reply), flush=True)
    if fault is not None:
        raise fault


def _check(applier: "Applier", asked: Asked, decoding: "DecodingSettings") -> None:
    try:
        applier.prompts([asked.record], decoding)
    except InputError as error:
        raise InputError(f"{asked.where}{error}") from None


def _line(reply: "Reply") -> str:
    if reply.probabilities is None:
        return reply.text
    return f"{reply.text}\t{reply.probabilities[reply.text]:.4f}"


def _json_line(record: dict[str, str], reply: "Reply") -> str:
    said = {"answer": reply.text, "log_likelihood": reply.log_likelihood, "probabilities": reply.probabilities}
    return json.dumps(
        {**record, **{name: value for name, value in said.items() if value is not None}}, ensure_ascii=False
    )


def _stream(applier: "Applier", record: dict[str, str], decoding: "DecodingSettings", *, seed: int) -> None:
    """Print the reply to one record as it is written; for a choice the likeliest labels."""
    if decoding.name == "ranking":
        [reply] = applier.answer([record], decoding=decoding)
        assert reply.probabilities is not None
        for label, probability in islice(reply.probabilities.items(), SHOWN_LABELS):
            print(f"{probability:.4f}  {label}")
        return
    for piece in applier.stream(record, decoding=decoding, seed=seed):
        print(piece, end="", flush=True)
    print()


def _converse(applier: "Applier", decoding: "DecodingSettings", options: Namespace) -> None:
    """Ask for one record after another on the terminal; Ctrl-D ends it."""
    # Gives input() a line that can be edited, and a history.
    import readline  # noqa: F401

    print(f"{applier.task.name}, run by {applier.engine}; Ctrl-D ends", file=sys.stderr)
    while True:
        record: dict[str, str] = {}
        try:
            for name in applier.fields:
                record[name] = input(f"{name}> " if len(applier.fields) > 1 else "> ")
        except EOFError:
            print(file=sys.stderr)
            return
        try:
            _check(applier, Asked("", record), decoding)
            if options.jsonl:
                _answer(applier, [Asked("", record)], decoding, options)
            else:
                _stream(applier, record, decoding, seed=options.seed)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)


if __name__ == "__main__":
    run_command(main)

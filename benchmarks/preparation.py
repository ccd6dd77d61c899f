"""Text a second that the stages clean and encode prepare, beside ftfy and tokenizers alone on the same text.

lmlab reads a file and writes records, tokens and reports; the others get the texts as a list and write nothing: ftfy
by `ftfy.fix_text` in as many processes as there are cores, tokenizers by `Tokenizer.encode_batch` in as many threads.
Training a tokenizer is a case of its own; the others load it. The text is documentation strings, those beyond the
first few megabytes with their words in another order.

Example: python -m benchmarks.preparation --megabytes 10 --rounds 3
"""

import argparse
import json
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import ftfy
import tokenizers

from benchmarks.measuring import OURS, Case, in_turns, report
from lmlab.data.clean import CleanInputs, CleanOutputs, CleanSettings, clean
from lmlab.data.docstrings import read_docstrings
from lmlab.data.encode import EncodeInputs, EncodeOutputs, EncodeSettings, encode
from lmlab.data.packages import modules
from lmlab.run import Run
from pipelines.compose import compose
from pipelines.settings import validate_params

ROOT = Path(__file__).absolute().parents[1]
PACKAGES = ("numpy", "networkx", "scipy")
BATCH_TEXTS = 1000
CHUNK_TEXTS = 64
Texts = Sequence[str]


def main() -> None:
    """Measure all cases and write their report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=10, help="of text")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as scratch, Peer() as peer:
        work = Path(scratch)
        write_corpus(work / "text.jsonl", megabytes=options.megabytes)
        cases = measure(work, peer, rounds=options.rounds)
    notes = "Megabytes of UTF-8 that go in, over wall time. The peers' output stays in memory, lmlab's is on disk."
    report("preparation", "How fast is text prepared?", cases, notes=notes)


def measure(work: Path, peer: "Peer", *, rounds: int) -> list[Case]:
    """All cases on the text of a folder."""
    texts = read_texts(work / "text.jsonl")
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    found = []

    def case(name: str, ways: dict[str, Callable[[], object]], *, rounds: int = rounds, warm_up: int = 1) -> None:
        speeds = {way: _speed(run, megabytes) for way, run in ways.items()}
        found.append(Case(name, "MB/s", True, in_turns(speeds, rounds=rounds, warm_up=warm_up)))

    clean_stage(work, settings_of(work))
    for name in ("bpe", "characters"):
        settings = settings_of(work, f"tokenizer={name}")
        case(f"train and encode, {name}", {OURS: lambda s=settings: encode_stage(work, s)}, rounds=1, warm_up=0)
        (work / "tokenizer").rename(work / name)
    bpe, characters = (settings_of(work, "tokenizer=existing", f"tokenizer.path={work / n}") for n in KINDS)
    by_bpe, by_characters = (tokenizers.Tokenizer.from_file(str(work / name / "tokenizer.json")) for name in KINDS)
    case("clean", {OURS: lambda: clean_stage(work, bpe), "ftfy": lambda: peer.fixed(texts)})
    case("encode, bpe", {OURS: lambda: encode_stage(work, bpe), "tokenizers": lambda: encoded(by_bpe, texts)})
    case(
        "encode, characters",
        {OURS: lambda: encode_stage(work, characters), "tokenizers": lambda: encoded(by_characters, texts)},
    )
    case(
        "clean and encode, bpe",
        {
            OURS: lambda: (clean_stage(work, bpe), encode_stage(work, bpe)),
            "ftfy and tokenizers": lambda: encoded(by_bpe, peer.fixed(texts)),
        },
    )
    return found


KINDS = ("bpe", "characters")


def _speed(run: Callable[[], object], megabytes: float) -> Callable[[], float]:
    def measured() -> float:
        begin = time.perf_counter()
        run()
        return megabytes / (time.perf_counter() - begin)

    return measured


class Peer:
    """ftfy alone, in as many processes as there are cores; they start before any clock does."""

    def __init__(self) -> None:
        self._num_cores = len(os.sched_getaffinity(0))
        self._pool: Pool | None = None

    def __enter__(self) -> "Peer":
        if self._num_cores > 1:
            self._pool = multiprocessing.get_context("spawn").Pool(self._num_cores)
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.terminate()

    def fixed(self, texts: Texts) -> Texts:
        """The texts as ftfy repairs them."""
        return self._pool.map(ftfy.fix_text, texts, CHUNK_TEXTS) if self._pool else list(map(ftfy.fix_text, texts))


def encoded(tokenizer: tokenizers.Tokenizer, texts: Texts) -> int:
    """The number of tokens of the texts by tokenizers alone; a batch is let go before the next."""
    starts = range(0, len(texts), BATCH_TEXTS)
    return sum(len(found.ids) for at in starts for found in tokenizer.encode_batch(texts[at : at + BATCH_TEXTS]))


def settings_of(work: Path, *overrides: str) -> dict[str, Any]:
    """The project's own settings with the text of a folder as the source."""
    return validate_params(compose(["source=files", f"source.path={work / 'text.jsonl'}", *overrides]))


def clean_stage(work: Path, settings: dict[str, Any]) -> None:
    """The stage clean from the folder into the folder."""
    sections = CleanSettings(settings["source"], settings["cleaning"], settings["runtime"])
    clean(sections, CleanInputs(), CleanOutputs(work / "records", work / "cleaning.json"), Run())


def encode_stage(work: Path, settings: dict[str, Any]) -> None:
    """The stage encode from the folder into the folder."""
    outputs = EncodeOutputs(work / "tokenizer", work / "tokens", work / "encoding.json")
    encode(
        EncodeSettings(settings["task"], settings["tokenizer"], settings["runtime"]),
        EncodeInputs(work / "records"),
        outputs,
        Run(),
    )


def read_texts(path: Path) -> list[str]:
    """The texts of a corpus."""
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


def write_corpus(path: Path, *, megabytes: float) -> int:
    """Write documents of about that size to a file, one a line as JSON; returns their number."""
    size, count = 0.0, 0
    with path.open("w", encoding="utf-8") as stream:
        for text in _documents():
            stream.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
            count += 1
            size += len(text.encode())
            if size >= megabytes * 1e6:
                break
    return count


def _documents() -> Iterator[str]:
    """Documentation strings, and without end the same lines with their words in another order."""
    found = (read_docstrings(module.path, minimum_characters=100) for module in modules(PACKAGES))
    texts = [docstring.text for docstrings in found for docstring in docstrings or ()]
    yield from texts
    draw = random.Random(1)
    while True:
        for text in texts:
            yield "\n".join(_shuffled(line, draw) for line in text.split("\n"))


def _shuffled(line: str, draw: random.Random) -> str:
    words = line.split()
    draw.shuffle(words)
    return line[: len(line) - len(line.lstrip())] + " ".join(words)


if __name__ == "__main__":
    main()

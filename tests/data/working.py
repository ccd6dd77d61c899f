"""Work for workers, in a program of its own, as those of a Ray cluster on 127.0.0.1 need it.

python -m tests.data.working PREPARATION VALUES WORK prints, as JSON, what becomes of some numbers, or the error.
python -m tests.data.working PREPARATION VALUES FOLDER prints the digests of what clean and encode write there.
"""

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from lmlab.data import clean as cleaning
from lmlab.data import encode as encoding
from lmlab.data import records
from lmlab.data.cleaning import batches
from lmlab.data.workers import each_of
from lmlab.errors import InputError
from lmlab.files import file_digest, folder_files
from lmlab.runtime import RuntimeSettings
from tests.corpus import encode_records, runtime_settings, tokenizer_settings
from tests.data.cleaned import cleaning_settings, run_clean, source_settings

NUMBERS = range(12)


def doubled(number: int) -> Iterator[int]:
    """Twice the number, and its negative; early ones take longest."""
    time.sleep(0.02 * max(0, 5 - number))
    yield 2 * number
    yield -number


def refused(number: int) -> Iterator[int]:
    """As `doubled`, but for one number that a user would have to mend."""
    if number == 3:
        raise InputError("record 3: no such number")
    yield from doubled(number)


def killed(number: int) -> Iterator[int]:
    """As `doubled`, but for one number whose worker dies."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    yield from doubled(number)


def process(number: int) -> Iterator[int]:
    """The process that worked on it."""
    del number
    time.sleep(0.5)
    yield os.getppid()


def first_refused(number: int) -> Iterator[int]:
    """As `waiting`, but for the first number, which a user would have to mend."""
    if number == 0:
        raise InputError("record 0: no such number")
    yield from waiting(number)


def waiting(number: int) -> Iterator[int]:
    """Nothing for a long time."""
    time.sleep(60)
    yield number


WORK = {work.__name__: work for work in (doubled, refused, killed, process, waiting, first_refused)}


def worked(
    runtime: RuntimeSettings, work: str, numbers: Iterable[int] = NUMBERS, *, num_here: int = 0
) -> Iterator[int]:
    """What these workers make of the numbers; no file is left."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            yield from each_of(WORK[work], numbers, runtime=runtime, num_here=num_here, folder=folder)
        finally:
            assert not list(folder.iterdir())


def prepared(folder: Path, runtime: RuntimeSettings) -> dict[str, str]:
    """The digests of what clean and encode make of the folder `text`, of many parts although it is small."""
    held = batches.BATCH_CHARACTERS, records.SHARD_BYTES, records.ROW_GROUP_BYTES
    here = cleaning.BATCHES_HERE, encoding.GROUPS_HERE
    batches.BATCH_CHARACTERS, records.SHARD_BYTES, records.ROW_GROUP_BYTES = 2000, 4000, 4000
    cleaning.BATCHES_HERE, encoding.GROUPS_HERE = 2, 2
    written = folder / runtime.preparation.name
    try:
        source = source_settings("files", path=str(folder / "text"), documents="paragraphs", piece_characters=64)
        found = run_clean(written, source, cleaning_settings(), runtime=runtime)
        bpe = tokenizer_settings("bpe", vocabulary_size=300, min_frequency=2, split_digits=False)
        encode_records(found.records, written, bpe, runtime=runtime)
    finally:
        batches.BATCH_CHARACTERS, records.SHARD_BYTES, records.ROW_GROUP_BYTES = held
        cleaning.BATCHES_HERE, encoding.GROUPS_HERE = here
    return {path.relative_to(written).as_posix(): file_digest(path) for path in folder_files(written)}


def main() -> None:
    """Work, and print what it came to; SIGTERM ends it in an orderly way, as it does a command."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    preparation, values, work = sys.argv[1:]
    runtime = runtime_settings(preparation, **json.loads(values))
    try:
        found = list(worked(runtime, work)) if work in WORK else prepared(Path(work), runtime)
        print(json.dumps(found))
    except InputError as error:
        print(json.dumps(str(error)))


if __name__ == "__main__":
    main()

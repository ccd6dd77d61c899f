"""What a process of its own reads of a large store and of large records, as the system counts it.

python -m tests.data.touched FOLDER CONTIGUOUS NUM_BATCHES prints how much of the tokens is mapped and was read by a
training's batches; python -m tests.data.touched FOLDER GROUP how much encoding a row group reads of the records.
"""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np

from lmlab.config import validate
from lmlab.data.batches import TextPlan
from lmlab.data.encoder import Group, batches_of
from lmlab.data.store import TOKENS_NAME, TokenStore
from lmlab.data.task import TaskSettings
from tests.corpus import LANGUAGE_MODELING

ROWS, TIME = 8, 64


def read_batches(folder: Path, *, contiguous: bool, num_batches: int) -> dict[str, int]:
    """Bytes of the tokens in this process's memory, and bytes that had to come from disk, for so many batches."""
    path = folder / TOKENS_NAME.format(split="train")
    with path.open("rb") as stream:
        # What was written a moment ago is in memory.
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    store = TokenStore.open(folder, "train")
    plan = TextPlan(store, rows=ROWS, time=TIME, contiguous=contiguous, seed=1)
    before = _counted("read_bytes")
    total = sum(int(plan.batch(number * 7).inputs.sum()) for number in range(num_batches))
    assert total > 0
    return {"resident": _resident(path), "read": _counted("read_bytes") - before}


def read_group(folder: Path, number: int) -> dict[str, int]:
    """Bytes that the process asked of the records to have one row group of them, and how many records those are."""
    task = validate(TaskSettings, LANGUAGE_MODELING, path="task")
    before = _counted("rchar")
    num_records = sum(len(batch.targets) for batch in batches_of(Group(folder / "train.parquet", number), task))
    return {"read": _counted("rchar") - before, "records": num_records}


def _counted(name: str) -> int:
    return int(re.findall(rf"^{name}: (\d+)$", Path("/proc/self/io").read_text(encoding="ascii"), re.MULTILINE)[0])


def _resident(path: Path) -> int:
    """Bytes of the mapped file that are in this process's memory."""
    maps = Path("/proc/self/smaps").read_text(encoding="utf-8")
    mapped = re.findall(rf"{re.escape(path.name)}\n(?:.*\n)*?Rss: +(\d+) kB", maps)
    assert len(mapped) == 1
    return int(mapped[0]) * 1024


def main() -> None:
    """Read, and print what it took."""
    folder = Path(sys.argv[1])
    # What numpy and pyarrow load when they are used first is not the data's.
    np.random.default_rng(1).permutation(3)
    if len(sys.argv) == 3:
        read_group(folder, 0)
        print(json.dumps(read_group(folder, int(sys.argv[2]))))
    else:
        print(json.dumps(read_batches(folder, contiguous=sys.argv[2] == "True", num_batches=int(sys.argv[3]))))


if __name__ == "__main__":
    main()

"""Tiny data that tests share: records as the stage clean writes them, and what the stage encode makes of them."""

import random
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from lmlab.config import PartSettings, read_params, validate
from lmlab.data.encode import EncodeInputs, EncodeOutputs, EncodeSettings, encode
from lmlab.data.task import LearnedTask, TaskSettings
from lmlab.data.tokenizer import TOKENIZERS
from lmlab.files import whole_folder, write_seal
from lmlab.run import Run
from lmlab.runtime import RuntimeSettings

CONF = Path(__file__).parents[1] / "conf"
NOUNS = ["cat", "dog", "tree", "house", "river", "stone", "bird", "child", "road", "cloud"]
VERBS = ["sees", "likes", "finds", "follows", "paints", "carries", "hears", "meets"]

LANGUAGE_MODELING = {
    "name": "language_modeling",
    "version": 1,
    "language": None,
    "prompt": "",
    "target": "{text}",
    "references": None,
    "choices": None,
    "cutting": {"max_prompt_tokens": None, "field": None, "side": "end"},
    "metrics": ["bits_per_byte"],
    "baselines": ["unigram", "compression"],
    "decoding": {
        "name": "sampling",
        "max_new_tokens": 8,
        "sampling": {"temperature": 0.0, "top_k": 0, "top_p": 1.0},
    },
}
# The answer to each text is the text itself.
COPYING = LANGUAGE_MODELING | {"name": "copying", "prompt": "{text}"}


def learned(task: dict[str, Any] = LANGUAGE_MODELING) -> LearnedTask:
    """What a bundle keeps of the task."""
    return validate(TaskSettings, task, path="task").learned([])


class Encoded(NamedTuple):
    """Folders of the stage encode."""

    tokenizer: Path
    tokens: Path


def sentences(count: int, *, seed: int) -> list[str]:
    """Sentences that a small model can learn something from."""
    draw = random.Random(seed)
    return [f"the {draw.choice(NOUNS)} {draw.choice(VERBS)} the {draw.choice(NOUNS)}.\n" for _ in range(count)]


def texts(count: int, *, seed: int) -> list[str]:
    """Documents of a few sentences each."""
    draw = random.Random(seed)
    return ["".join(sentences(draw.randint(2, 6), seed=draw.randint(0, 10**9))) for _ in range(count)]


def write_records(folder: Path, splits: dict[str, list[str]], *, documents: dict[str, list[int]] | None = None) -> Path:
    """A sealed folder of records with the one field `text`."""
    with whole_folder(folder) as partial:
        for split, rows in splits.items():
            numbers = (documents or {}).get(split, list(range(len(rows))))
            table = pa.table(
                {
                    "id": [f"{split}:{row}" for row in range(len(rows))],
                    "document_number": pa.array(numbers, pa.int64()),
                    "text": rows,
                }
            )
            pq.write_table(table, partial / f"{split}.parquet")
        write_seal(partial, {"stage": "clean", "source": "made up", "fields": ["text"], "rows": {}})
    return folder


def runtime_settings(preparation: str = "processes", *, threads: int = 1, **values: object) -> RuntimeSettings:
    """conf/runtime/default.yaml with so many threads, and with this preparation, some values of which are others."""
    folder = CONF / "runtime"
    section = read_params(folder / "default.yaml")
    del section["defaults"]
    chosen = {**read_params(folder / "preparation" / f"{preparation}.yaml"), **values}
    return validate(RuntimeSettings, {**section, "threads": threads, "preparation": chosen}, path="runtime")


def tokenizer_settings(name: str, **values: object) -> PartSettings:
    """Validated settings of a kind of tokenizer."""
    return validate(TOKENIZERS.get(name).settings, {"name": name, "depends_on": None, **values}, path="tokenizer")


def encode_records(
    records: Path,
    folder: Path,
    tokenizer: PartSettings,
    *,
    task: dict[str, Any] = LANGUAGE_MODELING,
    runtime: RuntimeSettings | None = None,
) -> Encoded:
    """Run the stage encode, in one process or as `runtime` says."""
    outputs = EncodeOutputs(folder / "tokenizer", folder / "tokens", folder / "encoding.json")
    settings = EncodeSettings(validate(TaskSettings, task, path="task"), tokenizer, runtime or runtime_settings())
    encode(settings, EncodeInputs(records), outputs, Run())
    return Encoded(outputs.tokenizer, outputs.tokens)


def encoded_corpus(folder: Path, *, task: dict[str, Any] = LANGUAGE_MODELING) -> Encoded:
    """A corpus of about ten thousand tokens, encoded."""
    splits = {"train": texts(300, seed=1), "validation": texts(30, seed=2), "test": texts(30, seed=3)}
    records = write_records(folder / "records", splits)
    bpe = tokenizer_settings("bpe", vocabulary_size=300, min_frequency=2, split_digits=False)
    return encode_records(records, folder, bpe, task=task)

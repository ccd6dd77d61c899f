"""Hostile texts go through cleaning and encoding as text: nothing in them is run, expanded, or ends a stage."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmlab.config import read_params, validate
from lmlab.data.clean import CleanInputs, CleanOutputs, CleanSettings, clean
from lmlab.data.cleaning.settings import CleaningSettings
from lmlab.data.encode import EncodeInputs, EncodeOutputs, EncodeSettings, encode
from lmlab.data.sources import SOURCES
from lmlab.data.store import TokenStore
from lmlab.data.task import TaskSettings
from lmlab.data.tokenizer import Tokenizer
from lmlab.run import Run
from lmlab.runtime import RuntimeSettings
from tests.corpus import COPYING, LANGUAGE_MODELING, sentences, tokenizer_settings
from tests.hostile.inputs import ANY_TEXT, LURES
from tests.hostile.profiles import fuzz
from tests.hostile.sources import SETTINGS, written
from tests.hostile.watching import attempt
from tests.laws.imports import PROJECT
from tests.training.train_tiny import RUNTIME

TOKENIZERS = {
    "bpe": tokenizer_settings("bpe", vocabulary_size=300, min_frequency=2, split_digits=True),
    "unigram": tokenizer_settings("unigram", vocabulary_size=300),
    "characters": tokenizer_settings("characters", min_frequency=1),
}
MACHINE = validate(RuntimeSettings, RUNTIME, path="runtime")
WORDS = ANY_TEXT | st.sampled_from(
    [
        *LURES,
        "<b>&lt;script&gt;</b>",
        "&#0;&#x110000;&amp;",
        "Ã©â€™",
        "ﬁ" * 20,
        "\u200b" * 30,
        "\u0300" * 200,
        "{text}{0}",
    ]
)


def _cleaning(*, markup: bool) -> CleaningSettings:
    values = read_params(PROJECT / "conf/cleaning/default.yaml")
    return validate(CleaningSettings, values | {"markup": {"enabled": markup}}, path="cleaning")


CLEANINGS = {markup: _cleaning(markup=markup) for markup in (True, False)}


def _prepare(folder: Path, documents: str, markup: bool, tokenizer: str, task: dict[str, Any]) -> None:
    source = validate(
        SOURCES.get("files").settings,
        {**SETTINGS, "path": str(folder / "text.txt"), "documents": documents, "piece_characters": 64},
        path="source",
    )
    outputs = CleanOutputs(folder / "out" / "records", folder / "out" / "cleaning.json")
    clean(CleanSettings(source, CLEANINGS[markup], MACHINE), CleanInputs(), outputs, Run())
    encoded = EncodeOutputs(folder / "out" / "tokenizer", folder / "out" / "tokens", folder / "out" / "encoding.json")
    settings = EncodeSettings(validate(TaskSettings, task, path="task"), TOKENIZERS[tokenizer], MACHINE)
    encode(settings, EncodeInputs(outputs.records), encoded, Run())
    read = Tokenizer.load(encoded.tokenizer)
    store = TokenStore.open(encoded.tokens, "train")
    for number in range(store.num_records):
        read.decode(store.record(number)).encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("preparing")


@fuzz(suite=15)
@given(
    texts=st.lists(WORDS, max_size=8),
    documents=st.sampled_from(["lines", "paragraphs", "whole"]),
    markup=st.booleans(),
    tokenizer=st.sampled_from(sorted(TOKENIZERS)),
    task=st.sampled_from([LANGUAGE_MODELING, COPYING]),
)
@example(texts=LURES, documents="lines", markup=True, tokenizer="bpe", task=COPYING)
def test_texts_of_any_characters_are_cleaned_and_encoded(
    folder: Path, texts: list[str], documents: str, markup: bool, tokenizer: str, task: dict[str, Any]
) -> None:
    # Enough text that every split gets some of it.
    text = "\n\n".join([*texts, *sentences(40, seed=1)])
    written(folder, "text.txt", text.encode())
    attempt(lambda: _prepare(folder, documents, markup, tokenizer, task), folder)

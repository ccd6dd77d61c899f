"""Prompts that are too long, many at once: each as it would be cut alone."""

from typing import Any

import pytest

from lmlab.config import validate
from lmlab.data.prompts import encode_prompts
from lmlab.data.task import TaskSettings
from lmlab.data.tokenizer import Tokenizer, train_tokenizer
from lmlab.errors import InputError
from tests.corpus import COPYING, texts, tokenizer_settings

LIMIT = 20


def _task(side: str, *, prompt: str = "read: {text} so?") -> TaskSettings:
    cutting: dict[str, Any] = {"max_prompt_tokens": LIMIT, "field": "text", "side": side}
    return validate(TaskSettings, COPYING | {"prompt": prompt, "cutting": cutting}, path="task")


@pytest.fixture(scope="module", params=["bpe", "characters"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """One that reads every text, and one with unknown characters."""
    values = {"bpe": {"vocabulary_size": 300, "min_frequency": 2, "split_digits": False}}
    settings = tokenizer_settings(request.param, **values.get(request.param, {"min_frequency": 1}))
    return train_tokenizer(settings, iter([*texts(200, seed=1), "read: so?"]))


@pytest.mark.parametrize("side", ["start", "end"])
def test_each_is_cut_as_if_it_were_alone(side: str, tokenizer: Tokenizer) -> None:
    records = [{"text": text * (1 + row % 3)} for row, text in enumerate(texts(300, seed=2))]
    records[::7] = [{"text": "na\u00efve \u4f60\u597d " * 9}] * len(records[::7])
    records[::5] = [{"text": "the cat"}] * len(records[::5])
    names = [str(row) for row in range(len(records))]
    together = encode_prompts(_task(side), records, names, tokenizer)
    alone = [encode_prompts(_task(side), [record], ["1"], tokenizer) for record in records]
    assert together.ids == [found.ids[0] for found in alone]
    assert together.num_cut == sum(found.num_cut for found in alone) > 100
    assert max(map(len, together.ids)) == LIMIT + 1


def test_the_side_that_is_cut_off_goes(tokenizer: Tokenizer) -> None:
    record = {"text": "cat sees the dog. " * 9}
    for side, kept in (("start", "dog.  so?"), ("end", "read: cat")):
        [ids] = encode_prompts(_task(side), [record], ["1"], tokenizer).ids
        assert kept in tokenizer.decode(ids)


def test_a_prompt_that_is_too_long_without_its_field_is_named(tokenizer: Tokenizer) -> None:
    task = _task("end", prompt="read: " * 30 + "{text}")
    with pytest.raises(InputError, match="record second: its prompt has .* tokens without the field 'text'"):
        encode_prompts(task, [{"text": "the cat"}], ["second"], tokenizer)

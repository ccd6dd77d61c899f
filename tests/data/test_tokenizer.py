"""Tokenizers: nothing is lost, nothing is special by accident, training is repeatable, other software loads them."""

from pathlib import Path

import pytest

from lmlab.config import PartSettings
from lmlab.data.tokenizer import SEPARATOR, Tokenizer, train_tokenizer
from lmlab.errors import InputError
from tests.corpus import texts, tokenizer_settings

SETTINGS = {
    "bpe": {"vocabulary_size": 400, "min_frequency": 2, "split_digits": False},
    "bpe, digits apart": {"vocabulary_size": 400, "min_frequency": 2, "split_digits": True},
    "unigram": {"vocabulary_size": 400},
    "characters": {"min_frequency": 1},
}
HOSTILE = [
    "",
    " ",
    "\n\n\t  leading and trailing  ",
    "line\r\nends\u0085and\u2028others",
    f"a special token {SEPARATOR} written out",
    "na\u00efve \u4f60\u597d \U0001f469\u200d\U0001f52c \U0001d54f",
    "\u202eright to left\u202c \u0301combining e\u0301",
    "\x00\x01\x7f\ufeff\ufffd\u2581",
    "{braces} {{text}} %s \\n <script>alert(1)</script>",
    "x" * 5000,
]


def settings_of(kind: str) -> PartSettings:
    return tokenizer_settings(kind.split(",")[0], **SETTINGS[kind])


def _trained(kind: str) -> Tokenizer:
    return train_tokenizer(settings_of(kind), iter([*texts(200, seed=1), *HOSTILE]))


@pytest.mark.parametrize("kind", SETTINGS)
def test_every_text_comes_back_as_it_was(kind: str) -> None:
    tokenizer = _trained(kind)
    for text, ids in zip(HOSTILE, tokenizer.encode(HOSTILE), strict=True):
        assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_separator_written_out_in_a_text_is_no_separator(kind: str) -> None:
    tokenizer = _trained(kind)
    [ids] = tokenizer.encode([f"before {SEPARATOR} after"])
    assert tokenizer.separator_id not in ids


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_bytes_that_training_never_showed_are_read_all_the_same(kind: str) -> None:
    tokenizer = train_tokenizer(settings_of(kind), iter(texts(200, seed=1)))
    assert tokenizer.unknown_id is None
    [ids] = tokenizer.encode(["\u4f60\u597d \U0001f469"])
    assert tokenizer.decode(ids) == "\u4f60\u597d \U0001f469"


def test_split_digits_makes_each_digit_a_token() -> None:
    tokenizer = train_tokenizer(settings_of("bpe, digits apart"), iter(["in 2024 and 2024"] * 9))
    [ids] = tokenizer.encode(["2024"])
    assert [tokenizer.decode([token]) for token in ids] == ["2", "0", "2", "4"]
    [merged] = train_tokenizer(settings_of("bpe"), iter(["in 2024 and 2024"] * 9)).encode(["2024"])
    assert len(merged) < 4


def test_characters_give_one_token_a_character_and_count_the_unknown() -> None:
    tokenizer = train_tokenizer(tokenizer_settings("characters", min_frequency=1), iter(["abc"]))
    [ids] = tokenizer.encode(["cab?"])
    assert len(ids) == 4
    assert ids[3] == tokenizer.unknown_id
    assert tokenizer.vocabulary_size == 5  # three characters, the separator and the unknown


@pytest.mark.parametrize("kind", SETTINGS)
def test_training_twice_gives_the_same_file(kind: str, tmp_path: Path) -> None:
    saved = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        _trained(kind).save(tmp_path / name)
        saved.append((tmp_path / name / "tokenizer.json").read_bytes())
    assert saved[0] == saved[1]


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.slow
def test_transformers_loads_the_file_and_agrees(kind: str, tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    tokenizer = _trained(kind)
    tokenizer.save(tmp_path)
    other = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    text = "the cat sees\n  the na\u00efve \u4f60\u597d"
    assert other(text)["input_ids"] == tokenizer.encode([text])[0]
    assert other.decode(other(text)["input_ids"]) == text


def test_a_vocabulary_is_never_larger_than_asked() -> None:
    assert _trained("bpe").vocabulary_size <= 400


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="tokenizer.json is not a tokenizer"):
        Tokenizer.load(tmp_path)

"""Many texts at once: the tokens of the library, for every kind of tokenizer, whatever the tables know already."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from lmlab.data.tokenizer import FEWEST_IN_BULK, SEPARATOR, Tokenizer, train_tokenizer
from lmlab.data.tokenizer.bulk import table
from lmlab.data.tokenizer.bulk.flat import FlatTokens, joined
from lmlab.data.tokenizer.bulk.kinds import BulkEncoder, bulk_encoder
from lmlab.data.tokenizer.bulk.pieces import cut
from tests.corpus import texts
from tests.data.test_tokenizer import HOSTILE, SETTINGS, settings_of

# Endings of 's, 't, 're..., spaces of several kinds, digits that Unicode alone calls so, and more than ASCII.
ALPHABET = (
    "abcstmdrevlLX    \n\n\t''''0123.,-_<|>\x00\x0b\x0c\r\x1c\x7f\x85\xa0\u3000\u2028é\u0301你½²①\U0001f469\u200d"
)
TRICKY = [
    "I've I'll we're he'd it's don't I'm 'tis ''s '''s 's's 'S 'sing 're're x'll' 'l 'r' '",
    "a  b   c\n\nd \n e\t\tf  \n",
    "   leading", "trailing   ", "\n", "   ", " '", "'", "5's 5 's  5  6 x5y 55  ",
    "exactly15bytes. exactly16bytes.. sixteen_letters_and_more_of_them x",
    "caf\u00e9 na\u00efve  \u4f60\u597d, \u4f60 \u597d\xa0 x", "\xa0 \xa0x", "x\xa0", "\u3000\n x", f"x{SEPARATOR} y",
]  # fmt: skip


def _random_texts(count: int, *, seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(ALPHABET, k=draw.randint(0, 20))) for _ in range(count)]


@pytest.fixture(scope="module", params=SETTINGS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """One of each kind."""
    shown = [*texts(200, seed=1), *HOSTILE, *TRICKY, *_random_texts(300, seed=2)]
    return train_tokenizer(settings_of(request.param), iter(shown))


def _bulk(tokenizer: Tokenizer) -> BulkEncoder:
    found = bulk_encoder(json.loads(tokenizer.inner.to_str()), tokenizer.encode)
    assert found is not None
    return found


def test_hostile_texts_have_the_tokens_of_the_library(tokenizer: Tokenizer) -> None:
    bulk, hostile = _bulk(tokenizer), [*HOSTILE, *TRICKY, *_random_texts(4000, seed=3)]
    # The second time the table knows them.
    for _ in range(2):
        assert bulk.encode(hostile).rows() == tokenizer.encode(hostile)


def test_every_ascii_character_beside_every_other_has_the_tokens_of_the_library(tokenizer: Tokenizer) -> None:
    pairs = [
        f"{one}{between}{other}" for one in map(chr, range(128)) for between in "' a" for other in map(chr, range(128))
    ]
    assert _bulk(tokenizer).encode(pairs).rows() == tokenizer.encode(pairs)


def test_characters_of_every_script_have_the_tokens_of_the_library(tokenizer: Tokenizer) -> None:
    codes = (code for code in range(128, 0x11000, 7) if not 0xD800 <= code < 0xE000)
    found = [f"a {chr(code)}b  {chr(code)} 1{chr(code)}" for code in codes]
    assert _bulk(tokenizer).encode(found).rows() == tokenizer.encode(found)


@given(found=st.lists(st.text(max_size=30), max_size=5))
def test_any_texts_have_the_tokens_of_the_library(tokenizer: Tokenizer, found: list[str]) -> None:
    assert _bulk(tokenizer).encode(found).rows() == tokenizer.encode(found)


def test_few_and_many_texts_have_the_same_tokens(tokenizer: Tokenizer) -> None:
    many = texts(FEWEST_IN_BULK, seed=4)
    assert tokenizer.encode_flat(many).rows() == tokenizer.encode(many)
    assert tokenizer.encode_flat(many[:3]).rows() == tokenizer.encode(many[:3])
    assert tokenizer.encode_flat([]).rows() == []


@pytest.mark.parametrize("limit", ["MOST_PIECES", "MOST_BYTES"])
def test_a_table_that_begins_anew_gives_the_same_tokens(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, limit, 100)
    tokenizer = train_tokenizer(settings_of("bpe"), iter(texts(200, seed=1)))
    bulk = _bulk(tokenizer)
    for number in range(20):
        found = _random_texts(50, seed=number)
        assert bulk.encode(found).rows() == tokenizer.encode(found)


def test_pieces_that_share_a_slot_keep_their_own_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "SLOT_BITS", 1)
    tokenizer = train_tokenizer(settings_of("bpe"), iter(texts(200, seed=1)))
    bulk = _bulk(tokenizer)
    for number in range(3):
        found = _random_texts(200, seed=number)
        assert bulk.encode(found).rows() == tokenizer.encode(found)


def test_pieces_are_those_of_the_library_and_stretches_stay_whole() -> None:
    pieces = cut(["I've  seen caf\u00e9s, x"], split_digits=False)
    data = pieces.data.tobytes()
    ends = pieces.starts + pieces.lengths
    found = [data[start:end] for start, end in zip(pieces.starts, ends, strict=True)]
    assert found == [b"I", b"'ve", b" ", b" seen", " caf\u00e9s,".encode(), b" x", b"\xff"]
    assert pieces.is_stretch.tolist() == [False, False, False, False, True, False, False]
    assert pieces.is_end.tolist() == [False] * 6 + [True]


@pytest.mark.parametrize("change", ["normalizer", "prefix", "no regex", "plain added token", "dropout", "metaspace"])
def test_a_tokenizer_that_reads_otherwise_has_no_table(change: str, tmp_path: Path) -> None:
    inner = train_tokenizer(settings_of("bpe"), iter(texts(200, seed=1))).inner
    level = tokenizers.pre_tokenizers.ByteLevel
    if change == "normalizer":
        inner.normalizer = tokenizers.normalizers.NFC()
    elif change == "prefix":
        inner.pre_tokenizer = level(add_prefix_space=True)
    elif change == "no regex":
        inner.pre_tokenizer = level(add_prefix_space=False, use_regex=False)
    elif change == "plain added token":
        inner.add_tokens(["the cat"])
    elif change == "dropout":
        inner.model.dropout = 0.5
    else:
        inner.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    inner.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.load(tmp_path)
    assert bulk_encoder(json.loads(tokenizer.inner.to_str()), tokenizer.encode) is None
    if change != "dropout":
        many = texts(FEWEST_IN_BULK, seed=4)
        assert tokenizer.encode_flat(many).rows() == tokenizer.encode(many)


def test_parts_are_joined_row_by_row() -> None:
    one, two = FlatTokens.of([[1, 2], [], [3]]), FlatTokens.of([[], [7], [8, 9]])
    assert joined([one, two]).rows() == [[1, 2], [7], [3, 8, 9]]
    assert joined([one, two]).ids.dtype == np.uint32

"""A tokenizer that was made elsewhere: its own end token parts texts, and no text is cut or parted by what it says."""

import json
from pathlib import Path

import pytest
import tokenizers

from lmlab.data.tokenizer import FILE_NAME, SEPARATOR, Tokenizer, train_tokenizer
from lmlab.errors import InputError
from tests.corpus import tokenizer_settings
from tests.models.pretrained_folders import byte_pairs, pieces

TEXT = "the cat sees the dog."


def _write(folder: Path, *, naming: str = "tokenizer_config.json", **named: object) -> Path:
    """A T5-like tokenizer with these tokens named beside it."""
    folder.mkdir(exist_ok=True)
    pieces().save(str(folder / FILE_NAME))
    (folder / naming).write_text(json.dumps(named), encoding="utf-8")
    return folder


@pytest.mark.parametrize("naming", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("end", ["</s>", {"content": "</s>", "lstrip": False}], ids=["by name", "as an object"])
def test_the_end_token_that_stands_beside_it_is_the_separator(end: object, naming: str, tmp_path: Path) -> None:
    folder = _write(tmp_path, naming=naming, eos_token=end, unk_token="<unk>", pad_token=None)
    tokenizer = train_tokenizer(tokenizer_settings("existing", path=str(folder)), iter([]))
    assert (tokenizer.separator, tokenizer.separator_id, tokenizer.unknown_id) == ("</s>", 1, 2)
    assert tokenizer.encode_closed(TEXT) == [*tokenizer.encode([TEXT])[0], 1]
    assert tokenizer.decode(tokenizer.encode_closed(TEXT)) == TEXT


def test_it_is_the_same_when_it_was_saved(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(_write(tmp_path / "found", eos_token="</s>", pad_token="<pad>"))
    (tmp_path / "saved").mkdir()
    tokenizer.save(tmp_path / "saved")
    again = Tokenizer.load(tmp_path / "saved")
    assert again == tokenizer
    assert again.named == {"eos_token": "</s>", "pad_token": "<pad>"}


def test_one_of_ours_is_saved_as_one_file(tmp_path: Path) -> None:
    Tokenizer(byte_pairs()).save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert Tokenizer.load(tmp_path).separator == SEPARATOR


def test_an_end_token_written_out_in_a_text_parts_nothing(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(_write(tmp_path, eos_token="</s>", unk_token="<unk>"))
    # The library itself finds the piece in the text.
    assert 1 in tokenizer.inner.encode(f"{TEXT} </s> more", add_special_tokens=False).ids
    [ids] = tokenizer.encode([f"{TEXT} </s> more"])
    assert 1 not in ids
    assert tokenizer.encode_closed("</s>").count(1) == 1


def test_a_file_that_asks_for_cut_or_padded_texts_is_not_obeyed(tmp_path: Path) -> None:
    folder = _write(tmp_path, eos_token="</s>")
    expected = Tokenizer.load(folder).encode([TEXT * 9, TEXT])
    inner = tokenizers.Tokenizer.from_file(str(folder / FILE_NAME))
    inner.enable_truncation(4)
    inner.enable_padding(length=4)
    inner.save(str(folder / FILE_NAME))
    assert Tokenizer.load(folder).encode([TEXT * 9, TEXT]) == expected


def test_gaps_in_a_vocabulary_count(tmp_path: Path) -> None:
    values = json.loads(byte_pairs().to_str())
    values["model"]["vocab"]["!"] = 999
    (tmp_path / FILE_NAME).write_text(json.dumps(values), encoding="utf-8")
    assert Tokenizer.load(tmp_path).vocabulary_size == 1000


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({}, r"has no token <\|endoftext\|>, and tokenizer_config.json and special_tokens_map.json beside it name no"),
        ({"eos_token": "<end>"}, "name no eos_token that it has"),
    ],
    ids=["none is named", "one is named that is none"],
)
def test_a_tokenizer_without_a_token_between_texts_is_refused(
    named: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        Tokenizer.load(_write(tmp_path, **named))


def test_a_broken_file_beside_it_is_named(tmp_path: Path) -> None:
    folder = _write(tmp_path, eos_token="</s>")
    (folder / "tokenizer_config.json").write_bytes(b"{")
    with pytest.raises(InputError, match=r"tokenizer_config\.json is not valid JSON"):
        Tokenizer.load(folder)

"""The stage clean: what it writes, keeps, drops and reports."""

import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lmlab.data.cleaning.batches import batches
from lmlab.data.source import SPLITS, Record
from lmlab.data.sources import SOURCES
from lmlab.errors import InputError
from lmlab.files import check_seal, file_digest, folder_files, read_json
from tests.data.cleaned import clean_splits, cleaning_settings, run_clean, shared, source_settings

WORDS = ["time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school"]


def _prose(seed: int, *, words: int = 60) -> str:
    draw = random.Random(seed)
    return " ".join(f"{draw.choice(WORDS)}{draw.randrange(100)}" for _ in range(words))


def _splits(**texts: list[str]) -> dict[str, list[str]]:
    """Some text of its own for every split, and these texts after it."""
    return {split: [_prose(number), *texts.get(split, [])] for number, split in enumerate(SPLITS)}


def _added(cleaned_column: list[str]) -> list[str]:
    return cleaned_column[1:]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    near = _prose(7)
    splits = _splits(train=[near, near + " again", "schÃ¶n und gut"], test=[_prose(8)])
    first = clean_splits(tmp_path / "one", splits, cleaning_settings())
    second = clean_splits(tmp_path / "two", splits, cleaning_settings())
    assert first.report_path.read_bytes() == second.report_path.read_bytes()
    names = [path.name for path in folder_files(first.records)]
    assert names == ["test.parquet", "train.parquet", "validation.parquet"]
    for name in (*names, "seal.json"):
        assert file_digest(first.records / name) == file_digest(second.records / name)


def test_the_seal_and_the_report_say_what_stands_in_the_records(tmp_path: Path) -> None:
    cleaned = clean_splits(tmp_path, _splits(train=["größer als zuvor"], test=["one more text"]), cleaning_settings())
    rows = {"train": 2, "validation": 1, "test": 2}
    seal = check_seal(cleaned.records)
    assert (seal["stage"], seal["fields"], seal["rows"]) == ("clean", ["text"], rows)
    assert seal["source"] == cleaned.report["source"]["digest"]
    assert read_json(cleaned.report_path) == cleaned.report
    assert cleaned.report["rows"] == rows
    for split in SPLITS:
        texts = cleaned.column(split)
        sizes = {"records": len(texts), "bytes": len("".join(texts).encode()), "characters": len("".join(texts))}
        assert cleaned.report["splits"][split] == sizes
    assert cleaned.report["before"] == cleaned.report["after"]


def test_records_have_id_document_and_text_and_keep_their_order(tmp_path: Path) -> None:
    texts = [f"text number {number}" for number in range(50)]
    cleaned = clean_splits(tmp_path, _splits(train=texts), cleaning_settings())
    assert pq.read_schema(cleaned.records / "train.parquet").names == ["id", "document_number", "text"]
    assert _added(cleaned.column("train")) == texts
    assert cleaned.column("train", "id") == [f"train/train.txt:{number}" for number in range(1, 52)]
    assert cleaned.column("train", "document_number") == list(range(51))


def test_of_exact_duplicates_the_first_stays(tmp_path: Path) -> None:
    cleaned = clean_splits(tmp_path, _splits(train=["a b", "c d", "a b", "a b"]), cleaning_settings())
    assert _added(cleaned.column("train")) == ["a b", "c d"]
    rule = cleaned.rule("exact_duplicates")
    assert rule["dropped"] == 2
    assert rule["examples"][0] == {
        "id": "train/train.txt:4",
        "before": "a b",
        "after": "",
        "why": "the same text as train/train.txt:2 (train)",
    }


def test_of_near_duplicates_the_first_stays_and_short_texts_must_be_equal(tmp_path: Path) -> None:
    text = _prose(9, words=100)
    texts = [text, text + " indeed", _prose(10, words=100), "a short text", "a short text too"]
    cleaned = clean_splits(tmp_path, _splits(train=texts), cleaning_settings())
    assert _added(cleaned.column("train")) == [texts[0], *texts[2:]]
    assert cleaned.rule("near_duplicates")["dropped"] == 1
    assert cleaned.rule("near_duplicates")["examples"][0]["why"] == "nearly the same as train/train.txt:2 (train)"


def test_near_duplicates_are_those_above_the_threshold(tmp_path: Path) -> None:
    # 200 words have 196 sequences of 5; each changed word, far from others, changes 5 of them, so k changes leave
    # (196 - 5k) / (196 + 5k): 0.95 for k = 1, 0.60 for k = 10. Ten standard deviations of the estimate lie apart.
    words = _prose(11, words=200).split()
    few, many = list(words), list(words)
    few[100] = "other"
    for place in range(5, 200, 20):
        many[place] = "other"
    texts = [" ".join(words), " ".join(few), " ".join(many)]
    cleaned = clean_splits(tmp_path, _splits(train=texts), cleaning_settings())
    assert _added(cleaned.column("train")) == [texts[0], texts[2]]


def test_training_rows_that_stand_in_validation_or_test_leave_training(tmp_path: Path) -> None:
    long = _prose(12, words=100)
    splits = _splits(train=["x y z", long + " indeed", "own text", "u v w"], validation=["x y z"], test=[long, "u v w"])
    cleaned = clean_splits(tmp_path, splits, cleaning_settings())
    assert _added(cleaned.column("train")) == ["own text"]
    assert _added(cleaned.column("validation")) == ["x y z"]
    assert _added(cleaned.column("test")) == [long, "u v w"]
    assert cleaned.report["leaked"] == cleaned.rule("leakage")["dropped"] == 3
    assert cleaned.rule("exact_duplicates")["dropped"] == 0
    assert cleaned.rule("leakage")["examples"][0]["why"] == "also stands in validation/validation.txt:2 (validation)"


def test_test_rows_win_over_validation_rows(tmp_path: Path) -> None:
    cleaned = clean_splits(tmp_path, _splits(validation=["x y z"], test=["x y z"]), cleaning_settings())
    assert (_added(cleaned.column("validation")), _added(cleaned.column("test"))) == ([], ["x y z"])
    assert cleaned.rule("exact_duplicates")["dropped"] == 1


@pytest.mark.parametrize(
    ("off", "left"),
    [
        (["leakage"], ["x y z", "a b"]),
        (["exact_duplicates"], ["a b", "a b"]),
        (["exact_duplicates", "leakage"], ["x y z", "x y z", "a b", "a b"]),
    ],
)
def test_rules_that_compare_are_switched_off_one_by_one(tmp_path: Path, off: list[str], left: list[str]) -> None:
    settings = cleaning_settings(**{name: {"enabled": False} for name in off})
    cleaned = clean_splits(tmp_path, _splits(train=["x y z", "x y z", "a b", "a b"], test=["x y z"]), settings)
    assert _added(cleaned.column("train")) == left
    assert not {rule["name"] for rule in cleaned.report["rules"]} & set(off)


def test_every_rule_can_be_switched_off_and_then_changes_nothing(tmp_path: Path) -> None:
    names = list(type(cleaning_settings()).model_fields)
    texts = ["schÃ¶n", "e\u0301", "a\x00b", "<p>x", "trailing ", "%%%%", "twice", "twice", _prose(0)]
    settings = cleaning_settings(**{name: {"enabled": False} for name in names})
    cleaned = clean_splits(tmp_path, _splits(train=texts), settings)
    assert _added(cleaned.column("train")) == texts
    assert cleaned.report["rules"] == []


def test_rules_stand_in_the_report_in_their_order_with_their_counts(tmp_path: Path) -> None:
    texts = ["schÃ¶n gesagt", "cafe\u0301", "a\x00b", "trailing ", "%%%% 1234", "a" * 30]
    settings = cleaning_settings(length={"maximum_characters": 1000}, near_duplicates={"enabled": False})
    cleaned = clean_splits(tmp_path, _splits(train=[*texts, "long " * 300]), settings)
    counts = [(rule["name"], rule["changed"], rule["dropped"]) for rule in cleaned.report["rules"]]
    assert counts == [
        ("encoding_repair", 1, 0),
        ("unicode", 1, 0),
        ("control_characters", 1, 0),
        ("whitespace", 2, 0),
        ("length", 0, 1),
        ("line_noise", 0, 1),
        ("exact_duplicates", 0, 0),
        ("leakage", 0, 0),
    ]
    assert cleaned.rule("length")["examples"][0]["why"] == "1499 characters, more than 1000"


def test_pieces_of_a_document_stay_one_document_and_put_together_are_its_text(tmp_path: Path) -> None:
    text = "".join(f"{_prose(number, words=7)}\n" for number in range(300))
    (tmp_path / "a.txt").write_text(text)
    source = source_settings("files", path=str(tmp_path / "a.txt"), piece_characters=500)
    cleaned = run_clean(tmp_path, source, cleaning_settings())
    assert "".join(cleaned.column("train")).rstrip("\n") == text[: int(len(text) * 0.9)].rstrip("\n")
    assert {split: set(cleaned.column(split, "document_number")) for split in SPLITS} == dict.fromkeys(SPLITS, {0})


def test_a_document_that_lost_a_piece_goes_on_as_another_document(tmp_path: Path) -> None:
    pieces = [_prose(number, words=12)[:63] + "\n" for number in range(40)]
    pieces[10] = "%" * 63 + "\n"
    (tmp_path / "a.txt").write_text("".join(pieces))
    source = source_settings("files", path=str(tmp_path / "a.txt"), piece_characters=64)
    cleaned = run_clean(tmp_path, source, cleaning_settings())
    assert cleaned.column("train", "document_number") == [0] * 10 + [1] * 25
    assert cleaned.rule("line_noise")["dropped"] == 1


def test_fields_that_are_short_must_agree_in_near_duplicates(tmp_path: Path) -> None:
    context = _prose(13, words=100)
    rows = [{"q": "who", "c": context}, {"q": "when", "c": context}, {"q": "who", "c": context + " indeed"}]
    lines = {split: [json.dumps({"q": split, "c": _prose(hash_)})] for hash_, split in enumerate(SPLITS, start=20)}
    lines["train"] += [json.dumps(row) for row in rows]
    for split, found in lines.items():
        (tmp_path / f"{split}.jsonl").write_text("\n".join(found))
    paths = {split: str(tmp_path / f"{split}.jsonl") for split in SPLITS}
    columns = {"question": "q", "context": "c"}
    source = source_settings("files", path=None, splits=paths, columns=columns)
    cleaned = run_clean(tmp_path / "out", source, cleaning_settings())
    assert _added(cleaned.column("train", "question")) == ["who", "when"]


def test_a_split_that_cleaning_empties_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    splits = {"train": ["some text"], "validation": ["%%%%"], "test": ["other text"]}
    with pytest.raises(InputError, match="no record is left in the split validation; rules dropped: line_noise 1;"):
        clean_splits(tmp_path, splits, cleaning_settings())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.txt", "train.txt", "validation.txt"]


def test_a_full_disk_leaves_the_old_records_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = clean_splits(tmp_path, _splits(), cleaning_settings())
    digests = [file_digest(path) for path in folder_files(old.records)]

    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", no_space)
    with pytest.raises(OSError, match="No space left"):
        clean_splits(tmp_path, _splits(train=["new text"]), cleaning_settings())
    assert [file_digest(path) for path in folder_files(old.records)] == digests
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("documents", ["whole", "lines", "paragraphs"])
def test_hostile_strings_pass_every_rule(tmp_path: Path, documents: str) -> None:
    path = shared("messy/blns.txt")
    source = source_settings("files", path=str(path), documents=documents, piece_characters=64)
    cleaned = run_clean(tmp_path, source, cleaning_settings(markup={"enabled": True}))
    assert cleaned.report["after"]["records"] > 0


def test_the_duplicates_of_real_comments_are_found(tmp_path: Path) -> None:
    source = source_settings("files", path=str(shared("messy/youtube_comments.jsonl")))
    only = ("encoding_repair", "unicode", "control_characters", "whitespace", "line_noise", "near_duplicates")
    settings = cleaning_settings(**{name: {"enabled": False} for name in only})
    cleaned = run_clean(tmp_path, source, settings)
    # The data's description counts 196; a copy always falls into the split of its original, so that none leaks.
    assert cleaned.rule("exact_duplicates")["dropped"] == 196
    assert cleaned.report["leaked"] == 0


def test_real_text_keeps_its_words(tmp_path: Path) -> None:
    path = shared("tinyshakespeare/input.txt")
    cleaned = run_clean(tmp_path, source_settings("files", path=str(path)), cleaning_settings())
    train = "".join(cleaned.column("train"))
    lines = path.read_text(encoding="utf-8")[: int(1_115_394 * 0.9)].split("\n")
    assert train == "\n".join(line.rstrip() for line in lines).rstrip()


@pytest.mark.slow
def test_default_settings_clean_a_package(tmp_path: Path) -> None:
    source = source_settings("package_docs", packages=["networkx"])
    cleaned = run_clean(tmp_path, source, cleaning_settings())
    assert pq.read_schema(cleaned.records / "train.parquet").names == ["id", "document_number", "text", "package"]
    assert set(cleaned.column("test", "package")) == {"networkx"}


def test_every_source_stands_in_the_settings() -> None:
    needed = {"files": {"path": "x.txt"}, "hub": {"dataset": "someone/some_set"}}
    for name in SOURCES.names():
        assert source_settings(name, **needed.get(name, {})).name == name


def test_a_first_record_of_millions_of_characters_comes_before_the_others() -> None:
    texts = ["x" * 3_000_000, "short", "y" * 3_000_000, "short too"]
    found = [
        batch.columns[0]
        for batch in batches(Record("train", text[:1], number, (text,)) for number, text in enumerate(texts))
    ]
    assert [text for column in found for text in column] == texts
    assert len(found) > 1

"""The source hub on local folders laid out as data sets of the hub are, on a hub on this machine, and on none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmlab.data.source import Record
from lmlab.errors import InputError
from lmlab.hub_access import BY_DEFAULT, OFFLINE, hub_is_allowed, hub_reachable, stay_offline_by_default
from tests.data.cleaned import PROJECT, build_source, source_settings, values_of
from tests.data.local_hub import LocalHub

THREE = {"train": "train", "validation": "validation", "test": "test"}
ONLY_TRAIN = {"train": "train", "validation": None, "test": None}
EVEN = {"train": 0.4, "validation": 0.3, "test": 0.3}
LABEL_CARD = """---
configs:
- config_name: short
  data_files:
  - {split: train, path: data/train-*}
  - {split: validation, path: data/validation-*}
  - {split: test, path: data/test-*}
- config_name: long
  data_files: [{split: train, path: data/train-*}]
dataset_info:
- config_name: short
  features:
  - {name: sentence, dtype: string}
  - name: label
    dtype: {class_label: {names: {'0': bad, '1': good}}}
- config_name: long
  features:
  - {name: sentence, dtype: string}
  - name: label
    dtype: {class_label: {names: {'0': bad, '1': good}}}
---
"""


def _labelled(folder: Path, *, last_label: int = 1) -> Path:
    """A set with two configs and named classes, as sst2 is laid out."""
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text(LABEL_CARD)
    for split in THREE:
        rows = {"sentence": [f"{split} one", f"{split} two"], "label": pa.array([0, last_label], pa.int64())}
        pq.write_table(pa.table(rows), folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


def _answers(folder: Path) -> Path:
    """Questions with nested answers, as squad is laid out: no card, the names of the files tell the splits."""
    folder.mkdir()
    for split in ("train", "validation"):
        rows = [
            {"question": f"q{number}", "title": f"t{number % 30}", "answers": {"text": ["a", "b"][: 1 + number % 2]}}
            for number in range(120 if split == "train" else 2)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text)
    return folder


def _hub(folder: Path | str, **values: object):
    return build_source("hub", dataset=str(folder), **values)


def test_classes_become_their_names_and_official_splits_stay(tmp_path: Path) -> None:
    source = _hub(_labelled(tmp_path / "a"), config="short", columns={"text": "sentence", "label": "label"})
    assert source.fields == source.content == ("text", "label")
    assert values_of(source) == {split: [(f"{split} one", "bad"), (f"{split} two", "good")] for split in THREE}


def test_a_record_is_named_by_split_and_row(tmp_path: Path) -> None:
    source = _hub(_labelled(tmp_path / "a"), config="short", columns={"text": "sentence"})
    assert list(source.records())[1:3] == [
        Record("train", "train:2", 1, ("train two",)),
        Record("validation", "validation:1", 2, ("validation one",)),
    ]


def test_a_class_without_a_name_is_a_hidden_label(tmp_path: Path) -> None:
    folder = _labelled(tmp_path / "a", last_label=-1)
    with pytest.raises(InputError, match=r"split train, row 2: the class -1 has no name .* hides its labels"):
        list(_hub(folder, config="short", columns={"text": "sentence", "label": "label"}).records())


def test_classes_that_are_not_asked_for_may_be_hidden(tmp_path: Path) -> None:
    folder = _labelled(tmp_path / "a", last_label=-1)
    assert len(list(_hub(folder, config="short", columns={"text": "sentence"}).records())) == 6


def test_nested_answers_are_fields_and_splits_that_are_missing_are_shares_of_train(tmp_path: Path) -> None:
    source = _hub(
        _answers(tmp_path / "a"),
        columns={"question": "question", "answer": ["answers.text.0", "answers.text.1"]},
        splits={"train": "train", "validation": None, "test": "validation"},
        group_by="title",
        fractions=EVEN,
    )
    assert source.fields == ("question", "answer", "answer_2")
    found = values_of(source)
    assert found["test"] == [("q0", "a", ""), ("q1", "a", "b")]
    assert len(found["train"]) + len(found["validation"]) == 120
    titles = {split: {int(row[0][1:]) % 30 for row in found[split]} for split in ("train", "validation")}
    assert len(titles["train"]) > len(titles["validation"]) > 0
    assert not titles["train"] & titles["validation"]


def test_rows_of_a_split_that_is_there_do_not_go_to_it_from_train(tmp_path: Path) -> None:
    columns = {"text": "question"}
    without = _hub(_answers(tmp_path / "a"), columns=columns, splits=ONLY_TRAIN, fractions=EVEN)
    with_test = {"train": "train", "validation": None, "test": "validation"}
    official = _hub(tmp_path / "a", columns=columns, splits=with_test, fractions=EVEN)
    assert values_of(official)["validation"] == values_of(without)["validation"]
    assert values_of(official)["train"] == sorted(
        values_of(without)["train"] + values_of(without)["test"], key=lambda row: int(row[0][1:])
    )


def test_as_many_rows_of_each_split_are_read_as_asked_for(tmp_path: Path) -> None:
    source = _hub(_labelled(tmp_path / "a"), config="short", columns={"text": "sentence"}, max_records=1)
    assert values_of(source) == {split: [(f"{split} one",)] for split in THREE}


def test_many_rows_come_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for split in THREE:
        lines = "".join(f"{split} {number}\n" for number in range(3000))
        (tmp_path / "a" / f"{split}.txt").write_text(lines)
    expected = {split: [(f"{split} {number}",) for number in range(3000)] for split in THREE}
    assert values_of(_hub(tmp_path / "a")) == expected


def test_the_digest_is_of_bytes_and_of_what_decides_the_records(tmp_path: Path) -> None:
    here, there = _labelled(tmp_path / "a"), _labelled(tmp_path / "b")
    settings = {"config": "short", "columns": {"text": "sentence"}}
    same = {_hub(folder, streaming=flag, **settings).digest() for folder in (here, there) for flag in (True, False)}
    changed = _hub(_labelled(tmp_path / "c", last_label=0), **settings).digest()
    others = [{"config": "long"}, {"columns": {"text": "label"}}, {"max_records": 1}]
    digests = {_hub(here, **{**settings, **other}).digest() for other in others}
    assert len(same) == 1
    assert len({*same, changed, *digests}) == 5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"config": "shrot"}, r"source\.config: .* has no config 'shrot'; did you mean 'short'\?"),
        ({"config": None}, r"source\.config: .* has several, name one: short, long"),
        (
            {"columns": {"text": "sentense"}},
            r"split train: there is no column 'sentense', it has sentence, label \(did",
        ),
        ({"splits": {**THREE, "test": "tset"}}, r"source\.splits\.test: .* no split 'tset'; did you mean 'test'\?"),
        ({"revision": "main"}, r"source\.revision: .* is a folder, which has no revisions"),
    ],
)
def test_what_the_set_lacks_is_said_with_the_nearest_right_one(tmp_path: Path, values: dict, message: str) -> None:
    settings = {"config": "short", "columns": {"text": "sentence"}, **values}
    with pytest.raises(InputError, match=message):
        list(_hub(_labelled(tmp_path / "a"), **settings).records())


def test_a_folder_with_code_is_refused_and_its_code_does_not_run(tmp_path: Path) -> None:
    folder = _labelled(tmp_path / "a")
    (folder / "a.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(InputError, match=r"holds code \(a\.py\), and no data set runs code here"):
        list(_hub(folder, config="short").records())
    assert not (tmp_path / "ran").exists()


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "train.png").write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match=r"are not text but of the kind 'imagefolder'; allowed: parquet, json"):
        list(_hub(tmp_path / "a").records())


def test_a_folder_that_is_empty_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is empty; name one with data files"):
        _hub(tmp_path).digest()


@pytest.mark.parametrize(("name", "content"), [("train.jsonl", b'{"text": \n{{{'), ("train.parquet", b"PAR1 no")])
def test_a_broken_file_is_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / name).write_bytes(content)
    with pytest.raises(InputError, match=r"source\.dataset: .* cannot be read: ") as caught:
        list(_hub(tmp_path / "a", splits=ONLY_TRAIN).records())
    assert "\n" not in str(caught.value)


def test_too_few_rows_for_the_shares_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "train.txt").write_text("one\n")
    with pytest.raises(InputError, match=r"source\.splits: 1 records are too few .* at least 60 records"):
        list(_hub(tmp_path / "a", splits=ONLY_TRAIN).records())


def test_a_set_that_is_not_named_is_an_error() -> None:
    with pytest.raises(InputError, match=r"source\.dataset: name a data set, for example"):
        source_settings("hub")


def test_a_path_that_is_no_folder_is_an_error() -> None:
    with pytest.raises(InputError, match=r"source\.dataset: \./no/such/place is no folder, and no repository"):
        _hub("./no/such/place").digest()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("wikitext2", ("text",)),
        ("tinystories", ("text",)),
        ("multi30k", ("source", "target")),
        ("squad", ("question", "context", "answer", *(f"answer_{number}" for number in range(2, 7)))),
        ("samsum", ("document", "summary")),
        ("xsum", ("document", "summary")),
        ("sst2", ("text", "label")),
        ("banking77", ("text", "label")),
    ],
)
def test_ready_settings_give_the_fields_of_their_task(name: str, fields: tuple[str, ...]) -> None:
    from lmlab.config import read_params, validate
    from lmlab.data.sources import SOURCES

    part = SOURCES.get("hub")
    settings = validate(part.settings, read_params(PROJECT / "conf" / "source" / f"{name}.yaml"), path="source")
    assert part.build(settings).fields == fields


def test_every_library_stays_off_the_hub_but_the_source_where_the_user_allows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.delenv(OFFLINE)
    monkeypatch.delenv(BY_DEFAULT, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert not hub_is_allowed()
    stay_offline_by_default()
    assert os.environ[OFFLINE] == "1"
    assert hub_is_allowed()
    with hub_reachable(True):
        assert not huggingface_hub.constants.is_offline_mode()
        assert not datasets.config.HF_HUB_OFFLINE
    assert huggingface_hub.constants.is_offline_mode()


READ = """
import sys
from lmlab.hub_access import stay_offline_by_default
stay_offline_by_default()
from lmlab.errors import InputError
from tests.data.cleaned import build_source
try:
    settings = {"columns": {"text": "sentence", "label": "label"}, "config": "short", "streaming": "-s" in sys.argv}
    source = build_source("hub", dataset=sys.argv[1], **settings)
    print(source.digest())
    for record in source.records():
        print(record.split, *record.values)
except InputError as error:
    print(error)
"""


def _read(home: Path, *arguments: str, **environment: str) -> list[str]:
    """The output of a fresh process that reads a set."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_") and key != BY_DEFAULT}
    environment = {**kept, "HF_HOME": str(home), "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-c", READ, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.slow
def test_without_a_network_one_line_says_what_is_missing_and_what_works(tmp_path: Path) -> None:
    [forbidden] = _read(tmp_path, "owner/name", HF_HUB_OFFLINE="1")
    assert forbidden.startswith("source.dataset: 'owner/name' cannot be had: HF_HUB_OFFLINE is set, and this machine's")
    assert "source=files source.path=" in forbidden
    assert "source=package_docs" in forbidden
    # Nothing listens on port 9.
    [unreachable] = _read(tmp_path, "owner/name", HF_ENDPOINT="http://127.0.0.1:9")
    assert unreachable.startswith("source.dataset: 'owner/name' cannot be had: the hub does not answer")


@pytest.mark.slow
def test_a_repository_is_read_at_its_commit_and_later_without_a_network(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with LocalHub({"owner/name": _labelled(tmp_path / "set")}) as hub:
        first = _read(home, "owner/name", HF_ENDPOINT=hub.address)
        assert _read(tmp_path / "other", "owner/name", "-s", HF_ENDPOINT=hub.address) == first
        assert not list((tmp_path / "other").rglob("*.arrow"))
    assert first[1:3] == ["train train one bad", "train train two good"]
    assert len(first) == 7
    assert _read(home, "owner/name", HF_HUB_OFFLINE="1") == first
    assert _read(home, "owner/name", HF_ENDPOINT=hub.address) == first


@pytest.mark.slow
def test_a_repository_that_is_not_there_or_brings_a_script_is_one_line(tmp_path: Path) -> None:
    folder = _labelled(tmp_path / "set")
    (folder / "code.py").write_text("raise SystemExit")
    with LocalHub({"owner/code": folder}) as hub:
        [missing] = _read(tmp_path / "home", "owner/coed", HF_ENDPOINT=hub.address)
        [script] = _read(tmp_path / "home", "owner/code", HF_ENDPOINT=hub.address)
    assert missing.startswith("source.dataset: the hub has no public data set 'owner/coed'; did you mean 'owner/code'?")
    assert script.startswith("source.dataset: owner/code needs its loading script code.py, and no code is run")


def test_a_card_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("of another\n" * 100)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files: [{split: train, path: ../secret.txt}]\n---\n"
    )
    with pytest.raises(InputError, match=r"names a file outside the folder \(.*secret\.txt\): copy it there"):
        list(_hub(tmp_path / "a", splits=ONLY_TRAIN).records())

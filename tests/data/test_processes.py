"""Cleaning in several processes: the same results in the same order, to the byte."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmlab.data import clean as clean_stage
from lmlab.data.cleaning import batches as batching
from lmlab.data.pool import in_order
from lmlab.files import file_digest, folder_files
from tests.corpus import sentences
from tests.data.cleaned import Cleaned, cleaning_settings, run_clean, source_settings


def _doubled(number: int) -> int:
    if number == 13:
        raise ValueError("thirteen")
    return 2 * number


def _process(number: int) -> int:
    del number
    return os.getpid()


@pytest.mark.parametrize("num_here", [3, 100])
def test_results_come_in_the_order_of_the_items(num_here: int) -> None:
    found = in_order(_doubled, iter(range(12)), processes=2, num_here=num_here)
    assert list(found) == list(range(0, 24, 2))


def test_few_items_start_no_process_and_one_process_is_this_one() -> None:
    assert set(in_order(_process, range(3), processes=2, num_here=3)) == {os.getpid()}
    assert set(in_order(_process, range(9), processes=1, num_here=3)) == {os.getpid()}
    assert os.getpid() not in set(in_order(_process, range(3), processes=2, num_here=0))


def test_items_are_taken_as_results_are_wanted() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in itertools.count(20):
            taken.append(number)
            yield number

    found = in_order(_doubled, items(), processes=2, num_here=2)
    assert [next(found) for _ in range(5)] == [40, 42, 44, 46, 48]
    found.close()  # type: ignore[attr-defined]
    assert len(taken) <= 9


def test_what_goes_wrong_in_a_process_goes_wrong_here() -> None:
    with pytest.raises(ValueError, match="thirteen"):
        list(in_order(_doubled, iter([1, 13, 2]), processes=2, num_here=0))


def _messy_text() -> str:
    paragraphs = ["".join(sentences(6, seed=number % 150)) for number in range(400)]
    paragraphs += [f"{paragraph} again" for paragraph in paragraphs[:100]]
    paragraphs[10:300:29] = ["schÃ¶n  gesagt \nund  \x00 gut"] * 10
    paragraphs[5:300:31] = ["%%%% 1234"] * 10
    return "\n\n".join(paragraphs)


@pytest.mark.slow
def test_one_and_two_processes_write_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "BATCH_CHARACTERS", 5000)
    monkeypatch.setattr(clean_stage, "BATCHES_HERE", 2)
    (tmp_path / "a.txt").write_text(_messy_text(), encoding="utf-8")
    source = source_settings("files", path=str(tmp_path / "a.txt"), documents="paragraphs")

    def cleaned(processes: int) -> Cleaned:
        return run_clean(tmp_path / str(processes), source, cleaning_settings(), threads=processes)

    one, two = cleaned(1), cleaned(2)
    assert one.report_path.read_bytes() == two.report_path.read_bytes()
    assert [rule["name"] for rule in one.report["rules"] if rule["changed"] or rule["dropped"]] == [
        "encoding_repair",
        "control_characters",
        "whitespace",
        "line_noise",
        "exact_duplicates",
        "near_duplicates",
        "leakage",
    ]
    assert [file_digest(path) for path in folder_files(one.records)] == [
        file_digest(path) for path in folder_files(two.records)
    ]

import shutil
from pathlib import Path

from lmlab.playground.opened import Facts, OpenModels, facts_of
from tests.applying.tiny_bundles import tiny_bundle


def test_a_model_is_loaded_once_and_anew_when_its_folder_was_written_anew(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path / "writer", "language_modeling")
    models = OpenModels(lambda address: tmp_path / address)
    first = models.open("writer")
    assert models.open("writer") is first
    assert models.open("writer", engine="torch") is not first
    shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(folder)
    (tmp_path / "copy").rename(folder)
    assert models.open("writer") is not first


def test_only_the_last_four_are_kept(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "0", "language_modeling")
    for number in range(1, 5):
        shutil.copytree(tmp_path / "0", tmp_path / str(number))
    models = OpenModels(lambda address: tmp_path / address)
    first, second = models.open("0"), models.open("1")
    for address in ("0", "2", "3", "4"):
        models.open(address)
    assert models.open("0") is first
    assert models.open("1") is not second


def test_facts_come_from_the_bundles_files(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "export" / "bundle", "language_modeling", model="lstm")
    # Embedding 300 by 16, LSTM 16 to 24 with its two biases, 24 to 16, and a bias for each of 300 tokens.
    parameters = 300 * 16 + 4 * 24 * (16 + 24 + 2) + 24 * 16 + 300
    assert facts_of(bundle) == facts_of(tmp_path / "export") == Facts("lstm", parameters)
    assert facts_of(tmp_path) is None

"""Files appear whole or not at all, also on a full disk, and seals show what was changed by hand."""

import errno
from pathlib import Path

import pytest

from lmlab.errors import InputError
from lmlab.files import check_seal, lasting_write, read_json, whole_file, whole_folder, write_json, write_seal

FULL_DISK = Path("/dev/full")
needs_full_disk = pytest.mark.skipif(not FULL_DISK.exists(), reason="the system has no /dev/full")


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = tmp_path / "sealed"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "inner" / "b.txt").write_text("b")
    write_seal(folder, {"stage": "clean"})
    return folder


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_untouched_folder_keeps_its_seal_and_gives_its_facts(sealed: Path) -> None:
    assert check_seal(sealed)["stage"] == "clean"


def test_a_file_changed_by_hand_is_named(sealed: Path) -> None:
    (sealed / "inner" / "b.txt").write_text("c")
    with pytest.raises(InputError, match=r"inner/b\.txt was changed after it was written"):
        check_seal(sealed)


def test_a_missing_file_is_named(sealed: Path) -> None:
    (sealed / "a.txt").unlink()
    with pytest.raises(InputError, match=r"a\.txt is missing"):
        check_seal(sealed)


def test_only_the_named_file_is_compared(sealed: Path) -> None:
    (sealed / "inner" / "b.txt").write_text("c")
    assert check_seal(sealed, only="a.txt")["stage"] == "clean"


def test_a_missing_folder_and_a_missing_seal_name_what_writes_them(sealed: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere does not exist: run the stage that writes it"):
        check_seal(tmp_path / "nowhere")
    (sealed / "seal.json").unlink()
    with pytest.raises(InputError, match=r"seal\.json does not exist"):
        check_seal(sealed)


@pytest.mark.parametrize("content", ["[]", '"text"', '{"files": 3}', '{"files": ["a.txt"]}'])
def test_a_seal_that_is_other_json_is_refused(content: str, sealed: Path) -> None:
    (sealed / "seal.json").write_text(content)
    with pytest.raises(InputError, match=r"seal\.json"):
        check_seal(sealed)


def test_json_that_does_not_parse_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text('{"a": ')
    with pytest.raises(InputError, match=r"broken\.json is not valid JSON"):
        read_json(path)


def test_a_whole_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old").touch()
    with whole_folder(folder) as partial:
        (partial / "new").touch()
        assert _names(folder) == ["old"]
    assert _names(tmp_path) == ["out"]
    assert _names(folder) == ["new"]


def test_an_exception_leaves_nothing_of_a_new_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyError), whole_folder(tmp_path / "out") as partial:  # noqa: PT012
        (partial / "new").touch()
        raise KeyError
    assert _names(tmp_path) == []


def test_an_exception_keeps_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old").write_text("old")
    with pytest.raises(KeyError), whole_folder(folder) as partial:  # noqa: PT012
        (partial / "old").write_text("new")
        raise KeyError
    assert (folder / "old").read_text() == "old"
    assert _names(tmp_path) == ["out"]


def test_what_a_kill_left_behind_is_no_part_of_the_next_folder(tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "half").touch()
    with whole_folder(tmp_path / "out") as partial:
        (partial / "new").touch()
    assert _names(tmp_path / "out") == ["new"]


def test_a_lasting_write_replaces_all_bytes(tmp_path: Path) -> None:
    path = tmp_path / "state"
    lasting_write(path, b"a long old content")
    lasting_write(path, b"new")
    assert path.read_bytes() == b"new"
    assert _names(tmp_path) == ["state"]


@needs_full_disk
def test_a_full_disk_keeps_the_old_bytes_of_a_lasting_write(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"old")
    (tmp_path / ".state.partial").symlink_to(FULL_DISK)
    with pytest.raises(OSError) as caught:  # noqa: PT011
        lasting_write(path, b"new")
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old"
    assert _names(tmp_path) == ["state"]


@needs_full_disk
def test_a_full_disk_leaves_no_half_written_json(tmp_path: Path) -> None:
    (tmp_path / ".report.json.partial").symlink_to(FULL_DISK)
    with pytest.raises(OSError) as caught:  # noqa: PT011
        write_json(tmp_path / "report.json", {"a": 1})
    assert caught.value.errno == errno.ENOSPC
    assert _names(tmp_path) == []


@needs_full_disk
def test_a_full_disk_keeps_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(OSError) as caught, whole_folder(folder) as partial:  # noqa: PT011, PT012
        (partial / "written").touch()
        (partial / "big").symlink_to(FULL_DISK)
        (partial / "big").write_text("does not fit")
    assert caught.value.errno == errno.ENOSPC
    assert _names(tmp_path) == ["out"]
    assert _names(folder) == ["old"]


def test_a_whole_file_is_not_seen_before_its_end(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    with whole_file(path) as partial:
        partial.write_text("text")
        assert not path.exists()
    assert path.read_text() == "text"


def test_json_without_a_number_is_refused_and_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "report.json", {"loss": float("nan")})
    assert _names(tmp_path) == []

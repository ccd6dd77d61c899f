"""Archives are not unpacked, whatever they are called: one line says what to do, and nothing is written anywhere."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from lmlab.errors import InputError
from tests.hostile.inputs import ANY_TEXT
from tests.hostile.profiles import fuzz
from tests.hostile.sources import records_of, written
from tests.hostile.watching import attempt, refusal_of

TEXT = b"some text of a user\n" * 50
LEADS_OUT = ("../escaped.txt", "/tmp/lmlab-escaped.txt", "a/../../escaped.txt", "plain.txt", "..\\escaped.txt")


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in LEADS_OUT:
            archive.writestr(name, TEXT)
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in LEADS_OUT:
            member = tarfile.TarInfo(name)
            member.size = len(TEXT)
            archive.addfile(member, io.BytesIO(TEXT))
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return buffer.getvalue()


ARCHIVES = {
    "zip": _zip(),
    "tar": _tar(),
    "tar.gz": gzip.compress(_tar()),
    "tar.zst": zstandard.compress(_tar()),
    "zip.gz": gzip.compress(_zip()),
}
PACKED = {
    "gzip": gzip.compress(TEXT),
    "zstd": zstandard.compress(TEXT),
    "xz": lzma.compress(TEXT),
    "bzip2": bz2.compress(TEXT),
}
SUFFIXES = ("txt", "md", "jsonl", "csv", "tsv", "parquet")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder inside one that must stay empty but for it."""
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    return inner


def _refused(folder: Path, name: str, content: bytes, *, is_named: bool = True) -> str:
    path = written(folder, name, content)
    said = refusal_of(lambda: records_of(path if is_named else folder, encoding="latin-1"))
    assert [entry.name for entry in folder.iterdir()] == [name]
    assert list(folder.parent.iterdir()) == [folder]
    assert name in said
    return said


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tgz", "tar.zst", "tar.bz2", "7z", "ZIP"])
@pytest.mark.parametrize("is_named", [True, False], ids=["named", "in a folder"])
def test_an_archive_is_to_be_unpacked_by_its_owner(suffix: str, is_named: bool, folder: Path) -> None:
    content = ARCHIVES.get(suffix.lower(), ARCHIVES["tar.gz"])
    assert "unpack" in _refused(folder, f"corpus.{suffix}", content, is_named=is_named)


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_archive_under_another_name_is_told_by_its_bytes(kind: str, suffix: str, folder: Path) -> None:
    assert f"is a {kind} archive: unpack it" in _refused(folder, f"corpus.{suffix}", ARCHIVES[kind])


@pytest.mark.parametrize(("kind", "name"), [("tar.gz", "a.txt.gz"), ("tar.zst", "a.csv.zst"), ("zip.gz", "a.jsonl.gz")])
def test_an_archive_inside_compressed_data_is_told_too(kind: str, name: str, folder: Path) -> None:
    assert "archive: unpack it" in _refused(folder, name, ARCHIVES[kind])


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_compressed_data_without_its_suffix_is_named(packed: str, suffix: str, folder: Path) -> None:
    assert f"holds {packed} data: " in _refused(folder, f"a.{suffix}", PACKED[packed])


PATHS = (
    st.lists(
        st.sampled_from(
            ["..", ".", "*", "**", "[", "]", "?", "~", "{a,b}", "a.txt", "folder", "loop", "pipe", "x" * 300, ""]
        )
        | ANY_TEXT,
        min_size=1,
        max_size=6,
    )
    .map(lambda parts: "/".join(parts).lstrip("/"))
    # The whole disk would be read, as asked.
    .filter(lambda path: not os.path.normpath(path.replace("\0", "0")).startswith(".."))
)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file, a folder, a link that leads to itself, and one that leads to a device without end."""
    root = tmp_path_factory.mktemp("places")
    (root / "folder").mkdir()
    for name in ("a.txt", "folder/b.txt"):
        (root / name).write_bytes(TEXT)
    (root / "loop").symlink_to("loop")
    (root / "folder" / "again").symlink_to("..")
    (root / "folder" / "endless.txt").symlink_to("/dev/zero")
    return root


@fuzz(suite=60)
@given(path=PATHS)
@example(path="a\x00.txt")
@example(path="**/**/**/*.txt")
@example(path="folder/endless.txt")
@example(path="x" * 300 + ".txt")
def test_paths_of_any_kind_are_read_or_refused(places: Path, path: str) -> None:
    # What the system says of a path has one line too.
    attempt(lambda: records_of(places / path, documents="lines"), refusals=(InputError, OSError))

"""Files that appear whole or not at all, and seals that show when one was changed by hand.

A seal is `seal.json` in an output folder: the SHA-256 of every other file there, a few facts that the next stage
needs, and the SHA-256 of all this. Stages check the seal of what they read.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lmlab.errors import InputError
from lmlab.text import digest_of

SEAL_NAME = "seal.json"
_OWN_DIGEST = "digest"


class Facts(dict):
    """What a seal says; to ask for what it lacks is an InputError."""

    def __init__(self, folder: Path, facts: Mapping[str, object]) -> None:
        super().__init__(facts)
        self._folder = folder

    def __missing__(self, name: str) -> object:
        """Raise InputError."""
        raise InputError(f"{self._folder / SEAL_NAME} lacks {name}: delete {self._folder} and run `dvc repro`")


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its place when the block ends without an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial, old = (folder.with_name(f".{folder.name}.{state}") for state in ("partial", "old"))
    _clean_up(folder, partial, old)
    partial.mkdir()
    try:
        yield partial
        if folder.exists():
            # Deleted where it stands, a kill would leave a part of it.
            folder.rename(old)
        partial.rename(folder)
    finally:
        _clean_up(folder, partial, old)


def _clean_up(folder: Path, partial: Path, old: Path) -> None:
    """Leave nothing but the folder, new or old, wherever the writing of it has ended."""
    if old.exists() and not folder.exists():
        old.rename(folder)
    for rest in (partial, old):
        shutil.rmtree(rest, ignore_errors=True)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write a JSON file for people and diffs: indented, keys in the order given, floats in full."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict:
    """The object in a JSON file.

    Raises: InputError if the file is missing, is not JSON or holds no object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: run the stage that writes it first (`dvc repro`)") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error}): delete it and run `dvc repro`") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object: delete it and run `dvc repro`")
    return value


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def folder_files(folder: Path) -> list[Path]:
    """Every file below a folder but its own seal, in the order of relative names."""
    found = (path for path in folder.rglob("*") if path.is_file() and path != folder / SEAL_NAME)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def path_digest(path: Path) -> object:
    """What tells a file's or a folder's content, as JSON values; a sealed folder is told by its seal."""
    if path.is_file():
        return file_digest(path)
    if (path / SEAL_NAME).is_file():
        return file_digest(path / SEAL_NAME)
    return {inner.relative_to(path).as_posix(): file_digest(inner) for inner in folder_files(path)}


def write_seal(folder: Path, facts: Mapping[str, object]) -> None:
    """Write the folder's seal with these facts (JSON values) beside the digests."""
    files = {path.relative_to(folder).as_posix(): file_digest(path) for path in folder_files(folder)}
    content = {**facts, "files": files}
    write_json(folder / SEAL_NAME, {**content, _OWN_DIGEST: digest_of(content)})


def read_seal(folder: Path) -> dict:
    """The facts of a folder's seal, whose files are not compared.

    Raises: InputError if the folder or the seal is missing, or the seal was changed.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist: run the stage that writes it first (`dvc repro`)")
    seal = read_json(folder / SEAL_NAME)
    # Seals of earlier versions hold none.
    if seal.pop(_OWN_DIGEST, None) not in (None, _digest_of_content(seal)):
        raise InputError(
            f"{folder / SEAL_NAME} was changed after it was written (it differs from its own digest): "
            f"delete {folder} and run `dvc repro` to write it again"
        )
    return Facts(folder, seal)


def _digest_of_content(seal: dict) -> str:
    try:
        return digest_of(seal)
    except (ValueError, RecursionError):
        return "none: no seal is written with such numbers"


def check_seal(folder: Path, *, only: str | None = None) -> dict:
    """The facts of a folder's seal, after comparing each file (or only the named one) with its digest.

    Raises: InputError if the folder or seal is missing, or the seal or a file is missing or was changed.
    """
    seal = read_seal(folder)
    digests = seal.get("files")
    if not isinstance(digests, dict):
        raise InputError(f"{folder / SEAL_NAME} names no files: delete {folder} and run `dvc repro` to write it again")
    for name, expected in digests.items():
        if only is not None and name != only:
            continue
        path = folder / name
        if ".." in path.parts or Path(name).is_absolute():
            raise InputError(f"{folder / SEAL_NAME} names {name}, which does not lie in {folder}: delete {folder}")
        if not path.is_file():
            raise InputError(f"{path} is missing: delete {folder} and run `dvc repro` to write it again")
        if file_digest(path) != expected:
            raise InputError(
                f"{path} was changed after it was written (its digest differs from {folder / SEAL_NAME}): "
                f"delete {folder} and run `dvc repro` to write it again"
            )
    return seal


def lasting_write(path: Path, content: bytes) -> None:
    """Replace a file so that a crash or power cut at any moment leaves the old or the new bytes."""
    with whole_file(path) as partial, partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())

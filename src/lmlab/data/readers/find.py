"""The files that a path, a folder or a glob names."""

import glob
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from lmlab.data.readers.archives import is_archive_name
from lmlab.data.source import SPLITS
from lmlab.errors import InputError
from lmlab.text import is_text, listed, nearest

PLAIN = (".txt", ".md")
TABLES = (".jsonl", ".csv", ".tsv", ".parquet")
COMPRESSIONS = (".gz", ".zst")
# A parquet file compresses its own pages.
SUFFIXES = (*PLAIN, *TABLES, *(kind + packed for kind in (*PLAIN, *TABLES[:-1]) for packed in COMPRESSIONS))

# What the file of a split may be called, before the first dot.
SPLIT_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


class InputFile(NamedTuple):
    """A file and its name relative to the folder that was named, the same wherever the folder lies."""

    name: str
    path: Path


def kind_of(path: Path) -> str:
    """The format's extension, without that of the compression.

    Raises: InputError if no reader knows it.
    """
    name = path.name.lower()
    if is_archive_name(path):
        raise InputError(f"{path} is an archive: unpack it, and name the folder with its files")
    if not name.endswith(SUFFIXES):
        raise InputError(f"{path}: files of this kind cannot be read; allowed: {' '.join(SUFFIXES)}")
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    return Path(name).suffix


def find_files(location: str, *, key: str) -> list[InputFile]:
    """The files that the setting `key` names: a file, all readable ones below a folder, or a glob's; by name.

    Below a folder, and where a glob says **, links to folders are left: they may lead round in circles.

    Raises: InputError if there is none, or a file that was named itself is empty or of an unknown kind.
    """
    if "\0" in location:
        raise InputError(f"{key}: {location!r} is no path: it holds a zero byte")
    path = Path(location)
    if path.is_file():
        kind_of(path)
        if path.stat().st_size == 0:
            raise InputError(f"{key}: {path} is empty; name a file with text")
        return [InputFile(path.name, path)]
    if path.is_dir():
        return _of_folder(path, sorted(path.rglob("*")), key)
    if glob.has_magic(location):
        return _of_folder(_fixed_part(path), sorted(_globbed(location)), key)
    raise InputError(f"{key}: {path} does not exist; {_nearest_existing(path)}")


def find_splits(location: str, *, key: str) -> dict[str, InputFile]:
    """The one file of each split directly in a folder, told by its name before the first dot; other files are left.

    Raises: InputError if it is no folder, or a split has no file there or several.
    """
    folder = Path(location)
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else f"does not exist; {_nearest_existing(folder)}"
        raise InputError(f"{key}: {folder} {what}; splits=by_name needs a folder that holds a file for each split")
    files = [file for file in _of_folder(folder, sorted(folder.iterdir()), key) if file.path.stat().st_size]
    found = {split: [file for file in files if _stem(file) in SPLIT_NAMES[split]] for split in SPLITS}
    for split, own in found.items():
        if len(own) != 1:
            names = ", ".join(file.name for file in own or files)
            missing = f"no file of text for the split {split} ({' or '.join(SPLIT_NAMES[split])}), it holds {names}"
            several = f"several files for the split {split}: {names}; keep one"
            raise InputError(f"{key}: {folder} has {several if own else missing}")
    return {split: own[0] for split, own in found.items()}


def _stem(file: InputFile) -> str:
    return file.name.partition(".")[0].lower()


def _of_folder(folder: Path, paths: list[Path], key: str) -> list[InputFile]:
    files = [
        InputFile(path.relative_to(folder).as_posix(), path)
        for path in paths
        if path.name.lower().endswith(SUFFIXES)
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    for file in files:
        if not is_text(file.name):
            raise InputError(f"{key}: the name of {ascii(file.name)} in {folder} is not valid UTF-8; give it another")
    if not files:
        archive = next(filter(is_archive_name, paths), None)
        hint = "" if archive is None else f"; unpack {archive.name} first"
        raise InputError(f"{key}: no readable file in {folder}; readable are {' '.join(SUFFIXES)}{hint}")
    if all(file.path.stat().st_size == 0 for file in files):
        raise InputError(f"{key}: every file in {folder} is empty; name files with text")
    return sorted(files)


def _globbed(location: str) -> Iterable[Path]:
    # Like glob.glob, which goes through links, but for what is below **.
    parts = [part if part == "**" else part.replace("**", "*") for part in Path(location).parts]
    if "**" not in parts:
        return map(Path, glob.glob(location))
    start = parts.index("**")
    below = Path(*parts[start:], *(["*"] if parts[-1] == "**" else []))
    folders = glob.glob(str(Path(*parts[:start]))) if start else [""]
    return {found for folder in folders for found in Path(folder).glob(str(below))}


def _fixed_part(pattern: Path) -> Path:
    parts = []
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        parts.append(part)
    return Path(*parts) if parts else Path()


def _nearest_existing(path: Path) -> str:
    missing = path
    while not missing.parent.is_dir():
        missing = missing.parent
    folder = missing.parent
    entries = [entry for entry in islice(folder.iterdir(), 1000) if not entry.name.startswith(".")]
    hint = nearest(missing.name, [entry.name for entry in entries])
    if entries and hint.startswith("did you mean"):
        return f"in {folder}: {hint}"
    names = sorted(entry.name for entry in entries if entry.is_dir() or entry.name.lower().endswith(SUFFIXES))
    return f"{folder} holds {listed(names) or 'nothing to read'}"

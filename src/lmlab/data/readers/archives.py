"""Archives and compressed data, told by their first bytes: none is unpacked here, whatever a file is called.

An archive names its own files, also `../elsewhere`; who unpacks one chooses where to.
"""

from pathlib import Path

from lmlab.errors import InputError

ARCHIVE_SUFFIXES = (
    *(".zip", ".tar", ".tgz", ".tbz2", ".txz", ".7z", ".rar"),
    *(f".tar.{packed}" for packed in ("gz", "bz2", "xz", "zst")),
)
HEAD_BYTES = 512
_TAR_PLACE = 257  # of its magic in the first header (POSIX ustar)
_ARCHIVES = {b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "rar"}
_COMPRESSED = {
    b"\x1f\x8b\x08": ("gzip", "end its name in .gz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "end its name in .zst"),
    b"\xfd7zXZ\x00": ("xz", "unpack it"),
    b"BZh91AY&SY": ("bzip2", "unpack it"),
}


def is_archive_name(path: Path) -> bool:
    """Whether the file is called as archives are."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def refuse_archive(path: Path, head: bytes) -> None:
    """Raise InputError, which says what to do, for data that begins as an archive or compressed data does."""
    kind = next((kind for magic, kind in _ARCHIVES.items() if head.startswith(magic)), None)
    if head[_TAR_PLACE : _TAR_PLACE + 5] == b"ustar":
        kind = "tar"
    if kind is not None:
        raise InputError(f"{path} is a {kind} archive: unpack it, and name the folder with its files")
    for magic, (packed, remedy) in _COMPRESSED.items():
        if head.startswith(magic):
            raise InputError(f"{path} holds {packed} data: {remedy}")

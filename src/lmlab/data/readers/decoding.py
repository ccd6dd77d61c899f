"""A file's text in chunks: decompressed, decoded, with faults said by file and byte."""

import codecs
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import zstandard

from lmlab.data.readers.archives import HEAD_BYTES, refuse_archive
from lmlab.errors import InputError

CHUNK_BYTES = 1 << 20
# One zstd block of 128 kB can be spelt in 4 bytes: reading little at a time bounds what a bomb can unfold.
ZSTD_READ_BYTES = 1 << 10
# Text shrinks to a tenth, the dullest log to a hundredth; zeros to a thousandth and far less.
MOST_TIMES = 200
UNFOLDED_FREELY = 64 << 20
"""Bytes that compressed data may unfold to whatever its own size."""


class Encoding(NamedTuple):
    """How bytes are read as text; `replace` puts U+FFFD where they are not of the encoding."""

    name: str
    errors: Literal["strict", "replace"]


def text_chunks(path: Path, encoding: Encoding) -> Iterator[str]:
    """The file's text, about a megabyte at a time, without a byte-order mark, line ends as they are.

    Raises: InputError with the byte offset (in the decompressed file) where the bytes are not of the encoding.
    """
    decoder = codecs.getincrementaldecoder(encoding.name)(encoding.errors)
    offset = 0
    is_first = True
    for chunk in byte_chunks(path):
        text = _decode(decoder, chunk, path, encoding, offset)
        offset += len(chunk)
        if is_first and text:
            text = text.removeprefix("\ufeff")
            is_first = False
        if text:
            yield text
    rest = _decode(decoder, b"", path, encoding, offset, final=True)
    if rest:
        yield rest


def _decode(
    decoder: codecs.IncrementalDecoder,
    chunk: bytes,
    path: Path,
    encoding: Encoding,
    offset: int,
    *,
    final: bool = False,
) -> str:
    held_back = len(decoder.getstate()[0])
    try:
        return decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        where = offset - held_back + error.start
        if b"\0" in error.object and not encoding.name.lower().startswith(("utf-16", "utf-32", "utf_16", "utf_32")):
            raise InputError(
                f"{path}: holds zero bytes, as programs and pictures do, and no text; leave it out"
            ) from None
        raise InputError(
            f"{path}: not {encoding.name} at byte {where} ({error.object[error.start : error.start + 1].hex()}, "
            f"{error.reason}); set source.encoding to the file's encoding, or source.encoding_errors=replace"
        ) from None
    except UnicodeError as error:
        raise InputError(f"{path}: not {encoding.name} near byte {offset}: {error}") from None


def byte_chunks(path: Path) -> Iterator[bytes]:
    """The file's bytes, decompressed if its name ends in .gz or .zst.

    Raises: InputError if the compressed data is damaged, cut off, or unfolds as no text does; or if the bytes are an
    archive's.
    """
    unpacked = {".gz": _gzip_chunks, ".zst": _zstd_chunks}.get(path.suffix.lower())
    chunks = _plain_chunks(path) if unpacked is None else _within_measure(unpacked(path), path)
    is_first = True
    for chunk in chunks:
        if is_first:
            refuse_archive(path, chunk[:HEAD_BYTES])
            is_first = False
        yield chunk


def _plain_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


def _within_measure(chunks: Iterator[bytes], path: Path) -> Iterator[bytes]:
    """The same chunks, as long as they are together what a text of the file's size may unfold to."""
    measure = Measure(path)
    for chunk in chunks:
        measure.add(len(chunk))
        yield chunk


class Measure:
    """What a compressed file unfolds to, counted."""

    def __init__(self, path: Path) -> None:
        self._path, self._left = path, max(UNFOLDED_FREELY, MOST_TIMES * path.stat().st_size)

    def add(self, num_bytes: int) -> None:
        """Count these too.

        Raises: InputError if they are more than a text of the file's size may unfold to.
        """
        self._left -= num_bytes
        if self._left < 0:
            raise InputError(
                f"{self._path}: unfolds to more than {MOST_TIMES} times its size, as hardly any text does; "
                "if it is one, write it again without compression"
            )


def _gzip_chunks(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path, "rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    except EOFError:
        raise InputError(f"{path}: the gzip data is cut off; copy the file again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: not a whole gzip file ({error}); copy the file again") from None


def _zstd_chunks(path: Path) -> Iterator[bytes]:
    frames = zstandard.ZstdDecompressor()
    frame = frames.decompressobj()
    is_inside = False
    try:
        with path.open("rb") as stream:
            while data := stream.read(ZSTD_READ_BYTES):
                while data:
                    chunk = frame.decompress(data)
                    is_inside = not frame.eof
                    data = frame.unused_data
                    if frame.eof:
                        frame = frames.decompressobj()
                    if chunk:
                        yield chunk
    except zstandard.ZstdError as error:
        raise InputError(f"{path}: not a whole zstd file ({error}); copy the file again") from None
    if is_inside:
        raise InputError(f"{path}: the zstd data is cut off; copy the file again")

"""The user's own files: plain text, JSON lines, tables; one file, a folder, a glob, or one for each split."""

import codecs
import itertools
import logging
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from lmlab.config import PartSettings, Settings
from lmlab.data.columns import DEFAULT_COLUMNS, Column, ColumnMapping, columns_of
from lmlab.data.readers import plain
from lmlab.data.readers.decoding import Encoding, text_chunks
from lmlab.data.readers.find import PLAIN, InputFile, find_files, find_splits, kind_of
from lmlab.data.readers.rows import read_rows
from lmlab.data.source import SPLITS, Record, Source
from lmlab.data.sources import SOURCES
from lmlab.data.splits import SplitFractions, minimum_records, position_bounds, split_of, with_every_split
from lmlab.errors import InputError
from lmlab.files import file_digest
from lmlab.text import counted, digest_of, nearest

log = logging.getLogger("lmlab")

BY_NAME = "by_name"
# These can spell half a surrogate pair, which is no text.
NOT_FOR_FILES = ("unicode-escape", "raw-unicode-escape", "utf-7")


def _known_encoding(name: str) -> str:
    try:
        "".encode(name)
        codecs.getincrementaldecoder(name)
        if codecs.lookup(name).name.replace("_", "-") in NOT_FOR_FILES:
            raise LookupError(name)
    except LookupError:
        raise ValueError("no such text encoding; for example utf-8, latin-1, cp1252, utf-16, shift_jis") from None
    return name


def _mapping_or_by_name(value: object) -> object:
    """The value; said here, since a choice of kinds would be said by the names of the classes."""
    if isinstance(value, str) and value != BY_NAME:
        raise ValueError(f"allowed: {BY_NAME}, or a path for each split as {{train: ..., validation: ..., test: ...}}")
    if isinstance(value, Mapping):
        for name in value:
            if name not in SPLITS:
                raise ValueError(f"there is no split '{name}'; {nearest(str(name), SPLITS)}")
        missing = [name for name in SPLITS if not isinstance(value.get(name), str)]
        if missing:
            raise ValueError(f"there is no path for {' and '.join(missing)}")
    return value


class OfficialSplits(Settings):
    """A path (file, folder or glob) for each split."""

    train: str
    validation: str
    test: str


class FilesSettings(PartSettings):
    """Which files, and how they become records."""

    path: str | None
    """File, folder or glob that this project splits, or the folder of splits=by_name; else null."""
    splits: Annotated[OfficialSplits | Literal["by_name"] | None, BeforeValidator(_mapping_or_by_name)]
    """The files of each split, kept as they are: by their names in the folder `path`, or a path for each."""
    columns: ColumnMapping | None
    """The columns of each field, for files with columns; null reads the column text as the field text."""
    documents: Literal["whole", "lines", "paragraphs"]
    """What is one document in a plain text file."""
    piece_characters: Annotated[int, Field(ge=64)]
    """Longer plain text documents become several records, pieces that follow each other."""
    encoding: Annotated[str, AfterValidator(_known_encoding)]
    encoding_errors: Literal["strict", "replace"]
    group_by: str | None
    """The column whose value decides a record's split; null: the whole record does."""
    fractions: SplitFractions
    depends_on: str | None
    """The path outside the project's code that DVC watches for a change of the records."""

    @model_validator(mode="after")
    def _one_of_path_and_splits(self) -> Self:
        if self.splits == BY_NAME and self.path is None:
            raise ValueError("splits=by_name needs the folder that holds the files: source.path=FOLDER")
        if self.splits != BY_NAME and (self.path is None) == (self.splits is None):
            raise ValueError("give either path or splits, for example source.path=input.txt")
        return self


# The split, the number of the document in its file, and the values of one record.
_Part = tuple[str, int, tuple[str, ...]]


class _Located(NamedTuple):
    split: str | None
    file: InputFile


class Files:
    """Records of files in the order of their names; a record's id is its file and number."""

    def __init__(self, settings: FilesSettings) -> None:
        self._settings = settings
        self._encoding = Encoding(settings.encoding, settings.encoding_errors)
        self._located = _locate(settings)
        self._is_plain = _all_plain([file for _, file in self._located])
        self._columns = columns_of(settings.columns or DEFAULT_COLUMNS)
        if self._is_plain and (settings.columns or settings.group_by):
            raise InputError("source.columns, source.group_by: plain text has no columns; set both to null")

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of a record's values."""
        return ("text",) if self._is_plain else tuple(column.field for column in self._columns)

    @property
    def content(self) -> tuple[str, ...]:
        """All fields."""
        return self.fields

    def digest(self) -> str:
        """A digest of the files' bytes and relative names and of the settings, wherever the files lie."""
        files = [[split, file.name, file_digest(file.path)] for split, file in self._located]
        settings = self._settings.model_dump(mode="json", exclude={"path", "splits", "depends_on"})
        return digest_of({"settings": settings, "files": files})

    def records(self) -> Iterator[Record]:
        """Every record, file by file."""
        log.info("reading %s", counted(len(self._located), "file"))
        needed = minimum_records(self._settings.fractions)
        where = "source.path" if self._settings.splits is None else "source.splits"
        remedy = (
            f"give at least {needed}, larger source.fractions, or files of your own for each split in source.splits"
        )
        if self._is_plain:
            remedy += ", or choose source.documents=lines"
        return with_every_split(self._numbered(), where=where, remedy=remedy)

    def _numbered(self) -> Iterator[Record]:
        """Records whose document numbers go on from file to file."""
        document = 0
        last = None
        for place, (split, file) in enumerate(self._located):
            for number, (record_split, part, values) in enumerate(self._of_file(split, file), start=1):
                if (place, part) != last:
                    document += last is not None
                    last = (place, part)
                yield Record(record_split, f"{file.name}:{number}", document, values)

    def _of_file(self, split: str | None, file: InputFile) -> Iterator[_Part]:
        if not self._is_plain:
            return self._of_rows(split, file)
        if self._settings.documents == "whole":
            return self._of_whole(split, file)
        return self._of_parts(split, file)

    def _of_whole(self, split: str | None, file: InputFile) -> Iterator[_Part]:
        chunks = text_chunks(file.path, self._encoding)
        limit = self._settings.piece_characters
        if split is None and len(self._located) == 1:
            size = sum(map(len, text_chunks(file.path, self._encoding)))
            bounds = position_bounds(size, self._settings.fractions)
            parts = itertools.groupby(plain.split_at(chunks, bounds), key=lambda part: part[0])
            for part, texts in parts:
                for text in plain.whole((text for _, text in texts), piece_characters=limit):
                    yield SPLITS[part], part, (text,)
            return
        split = split or split_of(file.name, self._settings.fractions)
        for text in plain.whole(chunks, piece_characters=limit):
            yield split, 0, (text,)

    def _of_parts(self, split: str | None, file: InputFile) -> Iterator[_Part]:
        chunks = text_chunks(file.path, self._encoding)
        cut = plain.lines if self._settings.documents == "lines" else plain.paragraphs
        document, document_split = -1, ""
        for number, text in cut(chunks, piece_characters=self._settings.piece_characters):
            if number != document:
                # A long document's first piece decides for all of it: the rest has not been read yet.
                document, document_split = number, split or split_of(text, self._settings.fractions)
            yield document_split, number, (text,)

    def _of_rows(self, split: str | None, file: InputFile) -> Iterator[_Part]:
        group_by = self._settings.group_by
        wanted = [*self._columns, *([Column("group_by", group_by, is_further=False)] if group_by else [])]
        for number, values in enumerate(read_rows(file.path, wanted, self._encoding)):
            group = values[-1] if group_by else "\x1f".join(values)
            values = values[: len(self._columns)]
            yield split or split_of(group, self._settings.fractions), number, values


@SOURCES.register(FilesSettings)
def build(settings: FilesSettings) -> Source:
    """The source that these settings describe.

    Raises: InputError if a path leads to no file that can be read.
    """
    return Files(settings)


def _locate(settings: FilesSettings) -> list[_Located]:
    if settings.splits == BY_NAME:
        return [_Located(split, file) for split, file in find_splits(settings.path or "", key="source.path").items()]
    if settings.splits is None:
        return [_Located(None, file) for file in find_files(settings.path or "", key="source.path")]
    return [
        _Located(split, InputFile(f"{split}/{file.name}", file.path))
        for split in SPLITS
        for file in find_files(getattr(settings.splits, split), key=f"source.splits.{split}")
    ]


def _all_plain(files: list[InputFile]) -> bool:
    kinds = {kind_of(file.path) in PLAIN: file for file in files}
    if len(kinds) == 2:
        raise InputError(
            f"{kinds[True].path} is plain text and {kinds[False].path} has columns; name files of one sort, "
            "for example with a glob"
        )
    return next(iter(kinds))

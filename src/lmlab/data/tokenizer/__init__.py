"""Tokenizers by name: each module here trains one kind; `Tokenizer` is what the others use.

The only door to the package `tokenizers`. May import: the modules of lmlab's own folder.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lmlab.data.tokenizer.bulk.flat import FlatTokens
from lmlab.data.tokenizer.bulk.kinds import BulkEncoder, bulk_encoder
from lmlab.data.tokenizer.foreign import check_foreign, library_faults
from lmlab.errors import InputError
from lmlab.files import read_json, write_json
from lmlab.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    import tokenizers

TOKENIZERS = Registry("tokenizer", __name__)

SEPARATOR = "<|endoftext|>"
"""Stands between documents: each begins after one and ends with one."""

UNKNOWN = "<|unknown|>"
"""What stands for a character that training did not show, where a kind of tokenizer has such."""

FILE_NAME = "tokenizer.json"
NAMING_FILES = ("tokenizer_config.json", "special_tokens_map.json")
END = "eos_token"
ROLES = ("bos_token", END, "pad_token", "unk_token")
"""Of special tokens, in the words of transformers."""

FEWEST_IN_BULK = 64
"""For fewer texts tables are not worth building."""

FEWEST_ONCE_BUILT = 4
"""For fewer texts the library is faster than a table that is there."""

_CANNOT_READ = "the tokenizer cannot read this text"
_CANNOT_WRITE = "the tokenizer cannot write these tokens"


class Tokenizer:
    """Text to token ids and back; special tokens written out in a text are read as plain text."""

    def __init__(self, inner: "tokenizers.Tokenizer", *, named: Mapping[str, str] | None = None) -> None:
        """`named` says which token plays which of ROLES, where a tokenizer was made elsewhere."""
        inner.encode_special_tokens = True
        # A file made elsewhere may ask for both, and a text would lose its end in silence.
        inner.no_truncation()
        inner.no_padding()
        self.inner = inner
        self.named = dict(named or {})
        self.separator = self.named.get(END, SEPARATOR)
        separator_id = inner.token_to_id(self.separator)
        assert separator_id is not None, f"a tokenizer needs the token {self.separator}"
        self.separator_id: int = separator_id
        unknown_id = inner.token_to_id(self.named.get("unk_token", UNKNOWN))
        self.unknown_id: int | None = None if unknown_id == separator_id else unknown_id
        # Not their number: a vocabulary made elsewhere may have gaps.
        self.vocabulary_size = 1 + max(inner.get_vocab().values())
        self._written_out = self._separator_written_out()

    def __eq__(self, other: object) -> bool:
        """Whether both make the same tokens of every text."""
        return (
            isinstance(other, Tokenizer)
            and self.separator == other.separator
            and self.inner.to_str() == other.inner.to_str()
        )

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """The tokenizer of a folder's tokenizer.json.

        The separator is the end token that tokenizer_config.json or special_tokens_map.json names, else SEPARATOR.
        Raises: InputError if the file is missing, is no tokenizer or lacks the separator.
        """
        import tokenizers

        path = folder / FILE_NAME
        if not path.is_file():
            raise InputError(f"{path} does not exist: a tokenizer folder holds {FILE_NAME}")
        with library_faults(f"{path} is not a tokenizer"):
            inner = tokenizers.Tokenizer.from_file(str(path))
            check_foreign(inner, path)
            named = {
                role: token for role, token in _named_tokens(folder).items() if inner.token_to_id(token) is not None
            }
        if inner.token_to_id(named.get(END, SEPARATOR)) is None:
            raise InputError(
                f"{path} has no token {SEPARATOR}, and {' and '.join(NAMING_FILES)} beside it name no {END} that it "
                "has: lmlab's models need a token that stands between texts"
            )
        with library_faults(f"{path} cannot be used"):
            return cls(inner, named=named)

    def save(self, folder: Path) -> None:
        """Write tokenizer.json, which `transformers.PreTrainedTokenizerFast(tokenizer_file=...)` loads.

        Where tokens were named elsewhere, tokenizer_config.json beside it names them again.
        """
        self.inner.save(str(folder / FILE_NAME))
        if self.named:
            write_json(folder / NAMING_FILES[0], {"tokenizer_class": "PreTrainedTokenizerFast", **self.named})

    def with_separators(self, *, closes: bool, opens: bool = True) -> "Tokenizer":
        """A tokenizer for other software, which puts a separator before each text, and after it, where asked to."""
        import tokenizers

        inner = tokenizers.Tokenizer.from_str(self.inner.to_str())
        inner.post_processor = tokenizers.processors.TemplateProcessing(
            single=" ".join([self.separator] * opens + ["$A"] + [self.separator] * closes),
            special_tokens=[(self.separator, self.separator_id)],
        )
        return Tokenizer(inner, named=self.named)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens."""
        with library_faults(_CANNOT_READ):
            encodings = self.inner.encode_batch_fast(list(texts), add_special_tokens=False)
        return [self._without_separators(encoding.ids) for encoding in encodings]

    def encode_flat(self, texts: Sequence[str]) -> FlatTokens:
        """What `encode` gives, in one array; for many texts many times as fast."""
        fewest = FEWEST_ONCE_BUILT if "_bulk" in self.__dict__ else FEWEST_IN_BULK
        if len(texts) < fewest or self._bulk is None:
            return FlatTokens.of(self.encode(texts))
        return self._bulk.encode(list(texts))

    @cached_property
    def _bulk(self) -> BulkEncoder | None:
        return bulk_encoder(json.loads(self.inner.to_str()), self.encode)

    def encode_closed(self, text: str) -> list[int]:
        """Token ids of the text with the special tokens that the tokenizer itself puts around it."""
        before, after = self.put_around()
        return [*before, *self.encode([text])[0], *after]

    def put_around(self) -> tuple[list[int], list[int]]:
        """The special tokens that the tokenizer itself puts before and after a text."""
        with library_faults(_CANNOT_READ):
            plain, whole = (self.inner.encode("a", add_special_tokens=adds).ids for adds in (False, True))
        begins = (at for at in range(len(whole) - len(plain) + 1) if whole[at : at + len(plain)] == plain)
        begin = next(begins, None)
        if begin is None:
            raise InputError("the tokenizer puts a text's own tokens nowhere among those that it puts around it")
        return whole[:begin], whole[begin + len(plain) :]

    def _separator_written_out(self) -> list[int] | None:
        """What stands for a separator that a text spells out; None where none is ever read out of a text."""
        if self.separator_id not in self.inner.encode(self.separator, add_special_tokens=False).ids:
            return None
        characters = (self.inner.token_to_id(character) for character in self.separator)
        known = [self.unknown_id if token is None else token for token in characters]
        return [token for token in known if token is not None]

    def _without_separators(self, ids: list[int]) -> list[int]:
        # The pieces of a Unigram model include its special tokens, which stand for nothing but themselves.
        if self._written_out is None or self.separator_id not in ids:
            return ids
        return [token for found in ids for token in (self._written_out if found == self.separator_id else [found])]

    def decode(self, ids: "Sequence[int] | np.ndarray") -> str:
        """The text of these tokens; separators are left out."""
        with library_faults(_CANNOT_WRITE):
            return self.inner.decode([int(token) for token in ids], skip_special_tokens=True)

    def cutters(self, texts: Sequence[str], *, side: Literal["start", "end"]) -> list[Callable[[int], str]]:
        """For each text what gives it without what lies beyond so many tokens of it, taken off at this side."""
        with library_faults(_CANNOT_READ):
            encodings = self.inner.encode_batch(list(texts), add_special_tokens=False)
        return [partial(_cut, text, found, side) for text, found in zip(texts, encodings, strict=True)]

    def token_text(self, token_id: int) -> str:
        """One token as text; "…" for a part of a character."""
        with library_faults(_CANNOT_WRITE):
            text = self.inner.decode([token_id], skip_special_tokens=False)
        return "…" if "\ufffd" in text else text


def _cut(text: str, encoding: "tokenizers.Encoding", side: Literal["start", "end"], max_tokens: int) -> str:
    if max_tokens == 0:
        return ""
    if len(encoding) <= max_tokens:
        return text
    place = max_tokens - 1 if side == "end" else len(encoding) - max_tokens
    span = encoding.token_to_chars(place)
    assert span is not None, "no token here is a special one"
    begin, end = span
    return text[:end] if side == "end" else text[begin:]


def train_tokenizer(settings: object, texts: Iterator[str]) -> Tokenizer:
    """A tokenizer of the kind that the settings name, trained on these texts."""
    part = TOKENIZERS.get(settings.name)  # type: ignore[attr-defined]
    return part.build(settings, texts)


def _named_tokens(folder: Path) -> dict[str, str]:
    """The tokens that the files beside a tokenizer.json name for ROLES; the first file that has one counts."""
    named: dict[str, str] = {}
    for path in (folder / name for name in NAMING_FILES):
        if not path.is_file():
            continue
        try:
            values = read_json(path)
        except InputError:
            raise InputError(f"{path} is not valid JSON: take the tokenizer's files as they were published") from None
        for role in ROLES:
            token = values.get(role)
            token = token.get("content") if isinstance(token, dict) else token
            if isinstance(token, str):
                named.setdefault(role, token)
    return named

"""Tokenizers by name: each module here trains one kind; `Tokenizer` is what the others use.

The only door to the package `tokenizers`. May import: the modules of lmlab's own folder.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lmlab.errors import InputError
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


class Tokenizer:
    """Text to token ids and back; special tokens written out in a text are read as plain text."""

    def __init__(self, inner: "tokenizers.Tokenizer") -> None:
        inner.encode_special_tokens = True
        self.inner = inner
        separator_id = inner.token_to_id(SEPARATOR)
        assert separator_id is not None, f"a tokenizer needs the token {SEPARATOR}"
        self.separator_id: int = separator_id
        self.unknown_id: int | None = inner.token_to_id(UNKNOWN)
        self.vocabulary_size = inner.get_vocab_size()

    def __eq__(self, other: object) -> bool:
        """Whether both make the same tokens of every text."""
        return isinstance(other, Tokenizer) and self.inner.to_str() == other.inner.to_str()

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """The tokenizer of a folder's tokenizer.json.

        Raises: InputError if the file is missing, is no tokenizer or lacks the separator.
        """
        import tokenizers

        path = folder / FILE_NAME
        if not path.is_file():
            raise InputError(f"{path} does not exist: a tokenizer folder holds {FILE_NAME}")
        try:
            inner = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # The library raises bare Exception.
            raise InputError(f"{path} is not a tokenizer: {error}") from None
        if inner.token_to_id(SEPARATOR) is None:
            raise InputError(f"{path} has no token {SEPARATOR}, which lmlab's models need")
        return cls(inner)

    def save(self, folder: Path) -> None:
        """Write tokenizer.json, which `transformers.PreTrainedTokenizerFast(tokenizer_file=...)` loads."""
        self.inner.save(str(folder / FILE_NAME))

    def with_separators(self, *, closes: bool) -> "Tokenizer":
        """A tokenizer for other software, which begins each text with a separator, and closes it with one if asked."""
        import tokenizers

        inner = tokenizers.Tokenizer.from_str(self.inner.to_str())
        inner.post_processor = tokenizers.processors.TemplateProcessing(
            single=f"{SEPARATOR} $A {SEPARATOR}" if closes else f"{SEPARATOR} $A",
            special_tokens=[(SEPARATOR, self.separator_id)],
        )
        return Tokenizer(inner)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without special tokens."""
        encodings = self.inner.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: "Sequence[int] | np.ndarray") -> str:
        """The text of these tokens; separators are left out."""
        return self.inner.decode([int(token) for token in ids], skip_special_tokens=True)

    def cut(self, text: str, *, max_tokens: int, side: Literal["start", "end"]) -> str:
        """The text without what lies beyond max_tokens tokens of it, taken off at this side."""
        if max_tokens == 0:
            return ""
        offsets = self.inner.encode(text, add_special_tokens=False).offsets
        if len(offsets) <= max_tokens:
            return text
        return text[: offsets[max_tokens - 1][1]] if side == "end" else text[offsets[-max_tokens][0] :]

    def token_text(self, token_id: int) -> str:
        """One token as text; "…" for a part of a character."""
        text = self.inner.decode([token_id], skip_special_tokens=False)
        return "…" if "\ufffd" in text else text


def train_tokenizer(settings: object, texts: Iterator[str]) -> Tokenizer:
    """A tokenizer of the kind that the settings name, trained on these texts."""
    part = TOKENIZERS.get(settings.name)  # type: ignore[attr-defined]
    return Tokenizer(part.build(settings, texts))

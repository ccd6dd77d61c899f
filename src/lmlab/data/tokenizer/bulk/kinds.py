"""Which of the tables gives what a tokenizer gives, told from its own description."""

from collections.abc import Mapping
from typing import Any, Protocol

from lmlab.data.tokenizer.bulk.code_points import CodePointTable
from lmlab.data.tokenizer.bulk.flat import FlatTokens
from lmlab.data.tokenizer.bulk.table import Encode, PieceTable

CHARACTERS = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}


class BulkEncoder(Protocol):
    """Encodes many texts at once."""

    def encode(self, texts: list[str]) -> FlatTokens:
        """The tokens of these texts."""
        ...


def bulk_encoder(description: Mapping[str, Any], encode: Encode) -> BulkEncoder | None:
    """The table for a tokenizer.json whose special tokens are read as plain text; None if there is none for it.

    `encode` is the library's own way.
    """
    model, cutting = description["model"], description["pre_tokenizer"]
    has_plain_added_tokens = any(not token["special"] for token in description["added_tokens"])
    if description["normalizer"] or has_plain_added_tokens or not cutting:
        return None
    if cutting == CHARACTERS and model["type"] == "WordLevel" and model["unk_token"] in model["vocab"]:
        return CodePointTable(model["vocab"], unknown_id=model["vocab"][model["unk_token"]])
    # Dropout draws anew each time.
    if model["type"] not in ("BPE", "Unigram") or model.get("dropout"):
        return None
    steps = cutting.get("pretokenizers", [cutting])
    if not BYTE_LEVEL.items() <= steps[-1].items() or steps[:-1] not in ([], [DIGITS]):
        return None
    return PieceTable(encode, split_digits=len(steps) == 2)

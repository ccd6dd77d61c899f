"""Unigram language-model tokenization (Kudo 2018) over bytes: reads every text, loses none.

Trained by sentencepiece, whose single-threaded training gives the same pieces each time; the trainer of the
library tokenizers goes through its words in another order in each process, and its scores differ with it.
"""

import io
from collections import Counter
from collections.abc import Iterator

from pydantic import Field

from lmlab.config import WatchedSettings
from lmlab.data.tokenizer import SEPARATOR, TOKENIZERS, Tokenizer

LONGEST_WORD = 1000
"""Longer words than this, in bytes, teach no piece; sentencepiece would cut them off with a warning."""


class UnigramSettings(WatchedSettings):
    """Size of the vocabulary."""

    vocabulary_size: int = Field(ge=257)
    """Tokens at most; 256 bytes and the separator at least."""


@TOKENIZERS.register(UnigramSettings)
def build(settings: UnigramSettings, texts: Iterator[str]) -> Tokenizer:
    """Train on the texts."""
    import tokenizers
    from tokenizers import AddedToken, decoders, models, pre_tokenizers

    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in splitter.pre_tokenize_str(text))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # The separator's own score is never used: it is a special token.
    pieces = _pieces(counts, alphabet, num_pieces=settings.vocabulary_size - 1)
    inner = tokenizers.Tokenizer(models.Unigram([(SEPARATOR, 0.0), *pieces]))
    inner.pre_tokenizer = splitter
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(SEPARATOR, special=True, normalized=False)])
    return Tokenizer(inner)


def _pieces(counts: Counter[str], alphabet: list[str], *, num_pieces: int) -> list[tuple[str, float]]:
    """Pieces with their log probabilities; every byte is one, so that no text is unknown."""
    import sentencepiece

    lines = (f"{word}\t{count}" for word, count in sorted(counts.items()) if len(word) <= LONGEST_WORD)
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines,
        input_format="tsv",
        model_writer=written,
        model_type="unigram",
        vocab_size=num_pieces + 1,  # sentencepiece counts its own <unk>
        hard_vocab_limit=False,
        character_coverage=1.0,
        required_chars="".join(alphabet),
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        split_by_unicode_script=False,
        split_by_number=False,
        split_by_whitespace=False,
        max_sentence_length=4 * LONGEST_WORD,
        bos_id=-1,
        eos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    model = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    found = {model.IdToPiece(index): float(model.GetScore(index)) for index in range(1, model.GetPieceSize())}
    lowest = min(found.values(), default=0.0)
    # Bytes that training never showed are likelier than nothing, and less likely than anything seen.
    missing = {symbol: lowest - 10.0 for symbol in alphabet if symbol not in found}
    room = num_pieces - len(missing)
    kept = sorted(found.items(), key=lambda piece: (piece[0] not in alphabet, -piece[1], piece[0]))[:room]
    return sorted([*kept, *missing.items()], key=lambda piece: (-piece[1], piece[0]))

"""Pairs of phrases drawn from kinds that never run dry, so that each source phrase has one target.

kinds (by weight) -> pairs -> no repeats, no source phrase with two targets -> splits by hash of the source phrase
    -> held-out phrases whose parts training shows too seldom are left out
"""

import random
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from lmlab.data.splits import SplitFractions, split_of

CardT = TypeVar("CardT", bound=Hashable)

# A kind that gives nothing new so many times in a row has been told to the end, or nearly.
MOST_REPEATS = 200


class Phrase(NamedTuple):
    """A phrase in two languages, and the names, words and forms that one must know to translate it."""

    source: str
    target: str
    parts: tuple[str, ...]


class Drawn(NamedTuple):
    """A phrase with its kind and split."""

    kind: str
    split: str
    phrase: Phrase


class Deck(Generic[CardT]):
    """Cards dealt in random order, all of them before any comes again: so each is seen about equally often."""

    def __init__(self, cards: Sequence[CardT], draw: random.Random) -> None:
        self._cards = list(cards)
        self._draw = draw
        self._left: list[CardT] = []

    def deal(self) -> CardT:
        """The next card."""
        if not self._left:
            self._left = list(self._cards)
            self._draw.shuffle(self._left)
        return self._left.pop()

    def hand(self, size: int) -> list[CardT]:
        """Different cards, as many as asked for or as there are."""
        held: dict[CardT, None] = {}
        while len(held) < min(size, len(self._cards)):
            held[self.deal()] = None
        return list(held)


def draw_phrases(
    kinds: Mapping[str, Iterator[Phrase]], *, weights: Mapping[str, float], count: int, draw: random.Random
) -> dict[str, list[Phrase]]:
    """That many different phrases by kind, fewer if the kinds have no more; each source phrase has one target."""
    kept: dict[str, tuple[str, Phrase]] = {}
    unclear: set[str] = set()
    repeats: Counter[str] = Counter()
    live = [kind for kind in kinds if weights[kind] > 0]
    while live and len(kept) < count:
        kind = draw.choices(live, [weights[kind] for kind in live])[0]
        phrase = next(kinds[kind], None)
        if phrase is None or repeats[kind] == MOST_REPEATS:
            live.remove(kind)
        elif phrase.source in unclear or not phrase.source or not phrase.target:
            repeats[kind] += 1
        elif phrase.source not in kept:
            kept[phrase.source] = (kind, phrase)
            repeats[kind] = 0
        else:
            repeats[kind] += 1
            if kept[phrase.source][1].target != phrase.target:
                unclear.add(phrase.source)
                del kept[phrase.source]
    found: dict[str, list[Phrase]] = {kind: [] for kind in kinds}
    for kind, phrase in kept.values():
        found[kind].append(phrase)
    return found


def with_splits(
    phrases: Mapping[str, Sequence[Phrase]], fractions: SplitFractions, *, minimum_training_uses: int
) -> list[Drawn]:
    """The phrases in their splits, without held-out ones of which a part is in fewer training phrases than that."""
    drawn = [
        Drawn(kind, split_of(phrase.source, fractions), phrase)
        for kind, of_kind in phrases.items()
        for phrase in of_kind
    ]
    uses = Counter(part for _, split, phrase in drawn if split == "train" for part in set(phrase.parts))
    return [
        entry
        for entry in drawn
        if entry.split == "train" or all(uses[part] >= minimum_training_uses for part in entry.phrase.parts)
    ]

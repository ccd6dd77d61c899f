"""Dates, numbers, amounts and names in two languages, as Unicode's CLDR in the package Babel says: needs no network."""

import logging
import random
from collections.abc import Iterator
from importlib import metadata
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from lmlab.config import PartSettings, PositiveInt, Settings
from lmlab.data.phrases import Drawn, draw_phrases, with_splits
from lmlab.data.source import Record, Source
from lmlab.data.sources import SOURCES
from lmlab.data.splits import SplitFractions, minimum_records, with_every_split
from lmlab.errors import InputError
from lmlab.text import digest_of, nearest

log = logging.getLogger("lmlab")

Weight = Annotated[float, Field(ge=0)]


def _known_locale(name: str) -> str:
    from babel import localedata

    if not localedata.exists(name) or name == "root":
        known = localedata.locale_identifiers()
        near = nearest(name.replace("-", "_"), known)
        raise ValueError(
            f"Babel knows no such locale; {near if len(known) > len(near) else 'for example en, de, pt_BR'}"
        )
    return name


class WeightSettings(Settings):
    """How often each kind is drawn, in relation to the others."""

    names: Weight
    name_lists: Weight
    dates: Weight
    datetimes: Weight
    times: Weight
    relative_times: Weight
    durations: Weight
    measures: Weight
    measure_lists: Weight
    decimals: Weight
    percentages: Weight
    scientific: Weight
    compact: Weight
    currencies: Weight
    named_currencies: Weight

    @model_validator(mode="after")
    def _draws_any(self) -> Self:
        if not any(self.model_dump().values()):
            raise ValueError("all weights are 0; give one of them at least")
        return self


class LocalePhrasesSettings(PartSettings):
    """Which languages, and which phrases."""

    source_locale: Annotated[str, AfterValidator(_known_locale)]
    target_locale: Annotated[str, AfterValidator(_known_locale)]
    num_phrases: PositiveInt
    """Different phrases before held-out ones are left out."""
    weights: WeightSettings
    minimum_training_uses: Annotated[int, Field(ge=0)]
    """A held-out phrase is left out if one of its names and forms is in fewer training phrases than that."""
    seed: Annotated[int, Field(ge=0)]
    fractions: SplitFractions
    """Shares of the splits; a hash of the source phrase decides."""
    depends_on: str | None
    """The path outside the project's code that DVC watches for a change of the records."""

    @model_validator(mode="after")
    def _two_locales(self) -> Self:
        if self.source_locale == self.target_locale:
            raise ValueError(f"source_locale and target_locale are both '{self.source_locale}'; give two languages")
        return self


class LocalePhrases:
    """One record for each phrase, kind by kind."""

    fields = ("source", "target")
    content = fields

    def __init__(self, settings: LocalePhrasesSettings) -> None:
        self._settings = settings

    def digest(self) -> str:
        """A digest of the settings and of the version of Babel, which holds the data."""
        settings = self._settings.model_dump(mode="json", exclude={"depends_on"})
        return digest_of({"settings": settings, "versions": {"Babel": metadata.version("Babel")}})

    def records(self) -> Iterator[Record]:
        """Every phrase.

        Raises: InputError if there are not as many different phrases as wanted.
        """
        return with_every_split(
            self._records(),
            where="source.num_phrases",
            remedy=f"ask for more, {minimum_records(self._settings.fractions)} at least, or lower "
            "source.minimum_training_uses",
        )

    def _records(self) -> Iterator[Record]:
        for number, (kind, split, phrase) in enumerate(self._drawn()):
            yield Record(split, f"{kind}:{number}", number, (phrase.source, phrase.target))

    def _drawn(self) -> list[Drawn]:
        from babel import Locale

        from lmlab.data.locale_kinds import KINDS, Locales

        settings = self._settings
        log.info("drawing %d phrases of %d kinds", settings.num_phrases, len(KINDS))
        locales = Locales(Locale.parse(settings.source_locale), Locale.parse(settings.target_locale))
        # A generator for each kind: another kind's weight then changes how many are drawn, not which.
        kinds = {name: kind(locales, random.Random(f"{settings.seed} {name}")) for name, kind in KINDS.items()}
        phrases = draw_phrases(
            kinds,
            weights=settings.weights.model_dump(),
            count=settings.num_phrases,
            draw=random.Random(settings.seed),
        )
        num_drawn = sum(map(len, phrases.values()))
        if num_drawn < settings.num_phrases:
            raise InputError(
                f"source.num_phrases: the kinds of source.weights have {num_drawn} different phrases, "
                f"{settings.num_phrases} are asked for; ask for fewer, or give other kinds a weight"
            )
        drawn = with_splits(phrases, settings.fractions, minimum_training_uses=settings.minimum_training_uses)
        log.info("left out %d held-out phrases with parts that training hardly shows", num_drawn - len(drawn))
        return drawn


@SOURCES.register(LocalePhrasesSettings)
def build(settings: LocalePhrasesSettings) -> Source:
    """The source that these settings describe."""
    return LocalePhrases(settings)

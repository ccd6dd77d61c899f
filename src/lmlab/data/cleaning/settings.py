"""The settings of every cleaning rule."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lmlab.config import Fraction, PositiveInt, Settings


class Switch(Settings):
    """A rule that is on or off."""

    enabled: bool


class UnicodeSettings(Switch):
    """Which normal form texts get."""

    form: Literal["NFC", "NFKC"]


class WhitespaceSettings(Switch):
    """How many blank lines may follow each other."""

    maximum_blank_lines: Annotated[int, Field(ge=0)]


class LengthSettings(Switch):
    """How many characters a whole record may have."""

    minimum_characters: PositiveInt
    maximum_characters: PositiveInt

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.minimum_characters > self.maximum_characters:
            raise ValueError("minimum_characters is above maximum_characters")
        return self


class LineNoiseSettings(Switch):
    """What is not language: too few letters, or words longer than any language has."""

    minimum_letter_share: Fraction
    """Letters over characters that are not space."""
    maximum_word_characters: PositiveInt
    """Letters of longer runs of ASCII (base64, minified code) do not count as letters."""


class NearDuplicatesSettings(Switch):
    """How like an earlier record a record must be to be dropped."""

    threshold: Annotated[float, Field(gt=0, le=1)]
    """The estimated Jaccard similarity of the two sets of word sequences."""
    shingle_words: PositiveInt
    """The length of those sequences."""
    minimum_words: PositiveInt
    """Fields with fewer words must be equal: a few words in common say little about short texts."""
    num_permutations: PositiveInt
    """The length of a signature."""
    num_bands: PositiveInt
    """Records that agree in one whole band of their signatures are compared."""
    seed: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _even_bands(self) -> Self:
        if self.num_permutations % self.num_bands:
            raise ValueError(f"num_permutations is not divisible by num_bands={self.num_bands}")
        if self.minimum_words < self.shingle_words:
            raise ValueError("minimum_words is below shingle_words")
        return self


class CleaningSettings(Settings):
    """The rules in the order in which they act."""

    encoding_repair: Switch
    unicode: UnicodeSettings
    control_characters: Switch
    markup: Switch
    whitespace: WhitespaceSettings
    length: LengthSettings
    line_noise: LineNoiseSettings
    exact_duplicates: Switch
    near_duplicates: NearDuplicatesSettings
    leakage: Switch

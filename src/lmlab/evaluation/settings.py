"""The settings of the evaluation: how the test split is read, resampled, compared and sampled from."""

from typing import Annotated

from pydantic import Field

from lmlab.config import PositiveInt, Settings

NonNegativeInt = Annotated[int, Field(ge=0)]


class ReadingSettings(Settings):
    """How much is read at once, and with how much context. Only the overlap changes a result."""

    batch_tokens: PositiveInt
    """Tokens of one forward pass, padding included: bounds the memory, with vocabulary_size * 4 bytes a token."""
    chunk_tokens: PositiveInt
    """Tokens of a document that a model without a context length reads in one forward pass, carrying its state."""
    overlap_share: Annotated[float, Field(ge=0, lt=1)]
    """Share of the context length that a window shares with the one before it, in documents longer than that."""


class BootstrapSettings(Settings):
    """How the 95 % intervals are drawn."""

    num_resamples: PositiveInt
    seed: NonNegativeInt
    min_documents: PositiveInt
    """With fewer documents than this the records (pieces of documents) are resampled instead."""


class BaselineSettings(Settings):
    """How hard the compressors try, and how much training text they see."""

    training_megabytes: Annotated[float, Field(gt=0, le=1024)]
    """The last so many megabytes of the training text; xz takes about 11 times this memory, twice."""
    xz_preset: Annotated[int, Field(ge=0, le=9)]
    zstd_level: Annotated[int, Field(ge=1, le=22)]


class SampleSettings(Settings):
    """How many texts are generated for people to read."""

    num_unprompted: NonNegativeInt
    num_prompted: NonNegativeInt
    prompt_tokens: PositiveInt
    """Tokens of a test record that a prompted sample goes on from."""


class AttentionSettings(Settings):
    """Pictures of where the model looks in a prompt."""

    num_pictures: NonNegativeInt
    max_tokens: PositiveInt
    """Only examples of at most this many tokens are drawn: longer ones cannot be read."""


class EvaluationSettings(Settings):
    """The section `evaluation`."""

    reading: ReadingSettings
    bootstrap: BootstrapSettings
    baselines: BaselineSettings
    samples: SampleSettings
    answer_batch_rows: PositiveInt
    """Prompts that are answered side by side: bounds the memory."""
    num_length_buckets: PositiveInt
    """Groups of about equally many documents or examples by length, in the report."""
    num_extremes: NonNegativeInt
    """Best and worst answers that the report shows, each."""
    num_confused_pairs: NonNegativeInt
    """Pairs of labels most often taken for each other that the report shows."""
    attention: AttentionSettings

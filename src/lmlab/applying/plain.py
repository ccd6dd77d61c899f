"""A model in transformers' own form, whoever made it: a text is its prompt, encoded as its own tokenizer does."""

from collections.abc import Sequence
from pathlib import Path

from lmlab.applying.applier import OPENING, Applier, Record
from lmlab.bundle import build_model
from lmlab.data.task import CuttingSettings, DecodingSettings, LearnedTask, SamplingDecoding, SamplingSettings
from lmlab.data.tokenizer import Tokenizer
from lmlab.models.architectures.language_model import LanguageModel

MAX_NEW_TOKENS = 50


class PlainApplier(Applier):
    """A model that was made elsewhere; it goes on from a text, or answers it."""

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer) -> None:
        super().__init__(model, tokenizer, _task(model), engine="torch")

    def prompts(self, records: Sequence[Record], decoding: DecodingSettings) -> list[list[int]]:
        """The tokens that the model reads of each record, with the special tokens that its tokenizer puts around them.

        Raises: InputError for a record without a field, or whose prompt the model cannot read.
        """
        for record in records:
            self._check_fields(record)
        separator = [self.tokenizer.separator_id]
        # A model that reads prompts apart knows them by the separator before them, and does not read that.
        before = separator if self.model.needs_prompts else []
        found = [before + self.tokenizer.encode_closed(record[OPENING]) or separator for record in records]
        for prompt in found:
            self._check_tokens(prompt[1:], decoding)
        return found


def _task(model: LanguageModel) -> LearnedTask:
    greedy = SamplingSettings(temperature=0, top_k=0, top_p=1)
    return LearnedTask(
        name="text_to_text" if model.needs_prompts else "text_continuation",
        version=1,
        prompt=f"{{{OPENING}}}" if model.needs_prompts else "",
        cutting=CuttingSettings(max_prompt_tokens=None, field=None, side="end"),
        decoding=SamplingDecoding(name="sampling", max_new_tokens=MAX_NEW_TOKENS, sampling=greedy),
        choices=[],
    )


def open_plain(folder: Path) -> Applier:
    """The model of a folder that transformers would load.

    Raises: InputError if a file is missing or damaged, or the model is of a kind that cannot be read.
    """
    tokenizer = Tokenizer.load(folder)
    settings = {"name": "pretrained", "source": str(folder), "architecture": None, "depends_on": None}
    model = build_model(settings, vocabulary_size=tokenizer.vocabulary_size, context_length=1, path="model")
    return PlainApplier(model.eval(), tokenizer)

"""What the form asks for: the fields, settings and examples of the chosen models."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lmlab.charts import shortened_label
from lmlab.errors import InputError
from lmlab.playground.asking import Question, values_of
from lmlab.playground.layout import BOUNDS, Parts

if TYPE_CHECKING:
    from lmlab.applying.applier import Applier
    from lmlab.playground.inputs import Record

LABEL_CHARACTERS = 70
PLACEHOLDER = "Shift+Enter asks"
OPENING_PLACEHOLDER = "The beginning of a text, which the model goes on from. Shift+Enter asks"


class Asked(NamedTuple):
    """What stands in the form when it is sent; None where a number was deleted."""

    texts: Sequence[str]
    settings: Mapping[str, float | int | None]
    seed: int | None

    def question(self, applier: "Applier") -> Question:
        """What this model is asked.

        Raises: InputError for a number that is missing, or a seed that is no whole number.
        """
        own = values_of(applier.task.decoding)
        for name in own:
            if self.settings[name] is None:
                raise InputError(f"{BOUNDS[name].label}: give a number")
        if self.seed is None and "temperature" in own:
            raise InputError("Seed: give a number")
        # A browser may send any number.
        if not float(self.seed or 0).is_integer():
            raise InputError(f"Seed: give a whole number, not {self.seed}")
        changes = {name: value for name, value in self.settings.items() if name in own and value is not None}
        record = dict(zip(applier.fields, self.texts, strict=False))
        return Question(record, changes, int(self.seed or 0))


def form_updates(parts: Parts, appliers: "Sequence[Applier]", examples: "Sequence[Record]") -> dict[Any, Any]:
    """The form for these models, which have the same fields, with the settings of the first that has each."""
    import gradio as gr

    draws = any("temperature" in values_of(applier.task.decoding) for applier in appliers)
    labels = [[shortened_label(" | ".join(record.values()), LABEL_CHARACTERS)] for record in examples]
    settings = _setting_updates(parts, appliers)
    return {
        **_field_updates(parts, appliers[0]),
        **settings,
        parts.options: gr.update(visible=any(update["visible"] for update in settings.values())),
        parts.seed: gr.update(visible=draws),
        parts.again: gr.update(visible=draws),
        parts.wants_attention: gr.update(visible=any(applier.task.prompt for applier in appliers)),
        parts.examples: gr.update(samples=labels or [[""]], visible=bool(labels)),
        parts.records: list(examples),
    }


def _field_updates(parts: Parts, applier: "Applier") -> dict[Any, Any]:
    import gradio as gr

    placeholder = PLACEHOLDER if applier.task.prompt else OPENING_PLACEHOLDER
    names = applier.fields
    return {
        field: gr.update(visible=True, label=names[number].replace("_", " ").capitalize(), placeholder=placeholder)
        if number < len(names)
        else gr.update(visible=False)
        for number, field in enumerate(parts.fields)
    }


def _setting_updates(parts: Parts, appliers: "Sequence[Applier]") -> dict[Any, Any]:
    import gradio as gr

    values: dict[str, float | int] = {}
    for applier in reversed(appliers):
        values |= values_of(applier.task.decoding)
    return {
        slider: gr.update(visible=True, value=values[name], maximum=max(BOUNDS[name].high, values[name]))
        if name in values
        else gr.update(visible=False)
        for name, slider in parts.settings.items()
    }

"""The model card: what the model is, what it learned from, how good it is, how to load it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from lmlab.results import Measure, Score, baseline_names, decoding_text, measures_of

PROMPT_CHARACTERS = 200


class Kind(NamedTuple):
    """What a task's model is called, and the hub's word for what it does."""

    title: str
    pipeline_tag: str


class Form(NamedTuple):
    """The artifact that the card lies beside."""

    library: str
    """The software that loads it, in the hub's words."""
    parity: str
    """How closely it answers as the model does."""
    usage: str
    """Markdown that shows how to load it."""
    weights: str
    """SHA-256 of the bundle's weights."""


KINDS = {
    "language_modeling": Kind("language model", "text-generation"),
    "translation": Kind("translation model", "translation"),
    "question_answering": Kind("question answering model", "question-answering"),
    "summarization": Kind("summarization model", "summarization"),
    "classification": Kind("text classification model", "text-classification"),
}

TEMPLATE = """\
---
library_name: {library}
pipeline_tag: {pipeline_tag}
tags: [lmlab, {model}]
model-index:
- name: {model}
  results:
  - task: {{type: {pipeline_tag}}}
    dataset: {{name: {source}, type: {source}, split: test}}
    metrics:
{hub_metrics}
---

# {model} {title}

{parameters:,} parameters ({embedding_parameters:,} of them embeddings), {origin} with lmlab.

## Data

Source `{source}` (digest `{digest}`): {records:,} training records, {megabytes:.1f} MB of cleaned text; {kept}.
Tokenizer: {tokenizer}, {vocabulary_size:,} tokens, {bytes_per_token:.2f} bytes a token on the test split.

## Training

{steps:,} steps, {tokens:,} tokens, seed {seed}; best validation at step {best_step:,}:
{validation_bits_per_byte:.4f} bits per byte. Ended by: {stopped_by}.

Settings of the model:

{settings}

## Results on the test split

{headline}

{metrics}

{reading} {decoding}

## Limits

The model knows only what its training text shows, repeats the errors and the slant of that text, and states
things that are not so in the same tone as things that are. At this size its texts keep form better than sense.
Numbers on other text than the source's will be worse.

## This form of it

{parity}

{usage}

## Reproducing

With the settings of the run (`params.yaml`, or `settings.yaml` among the run's artifacts in MLflow), `dvc repro` or
`python -m pipelines.run` gives the same weights on a machine of the same kind: the bundle's model.safetensors with
SHA-256 `{weights}`.
"""


def model_card(
    config: Mapping[str, Any],
    *,
    cleaning: Mapping[str, Any],
    encoding: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    form: Form,
) -> str:
    """The card as Markdown, from the bundle's config, the reports of the stages and the form that it lies beside."""
    training, details = config["training"], evaluation["details"]
    before, train = cleaning["before"], cleaning["splits"]["train"]
    kind = KINDS.get(details["task"], Kind(f"model for the task {details['task']}", "text-generation"))
    return TEMPLATE.format(
        **training,
        **kind._asdict(),
        origin=_origin(config),
        source=cleaning["source"]["name"],
        digest=cleaning["source"]["digest"][:16],
        records=train["records"],
        megabytes=train["bytes"] / 1e6,
        kept=f"{cleaning['after']['records']:,} of {before['records']:,} records passed the cleaning",
        tokenizer=encoding["tokenizer"]["name"],
        vocabulary_size=encoding["tokenizer"]["vocabulary_size"],
        bytes_per_token=encoding["splits"]["test"]["bytes_per_token"],
        seed=config["seed"],
        settings="\n".join(f"    {name}: {_short(value)}" for name, value in config["model"].items()),
        headline=headline_sentence(measures_of(evaluation)[0]),
        metrics=metrics_table(evaluation),
        reading=details["reading"],
        decoding=f"Answers were found {decoding_text(details['decoding'])}." if details["by_prompt_length"] else "",
        hub_metrics=hub_metrics(evaluation),
        **form._asdict(),
    )


def _origin(config: Mapping[str, Any]) -> str:
    training = config["training"]
    if config["model"]["name"] == "pretrained":
        return "a pretrained model, trained on" if training["steps"] else "a pretrained model as it is, evaluated"
    return "trained on from another bundle" if training["started_from"] else "trained from scratch"


def _short(value: object) -> object:
    """Of a pretrained model's whole architecture its kind: the rest stands in config.json."""
    return value.get("model_type", "...") if isinstance(value, Mapping) else value


def headline_sentence(measure: Measure) -> str:
    """The task's first metric with its interval."""
    value, low, high = (f"{number:.{measure.places}f}" for number in measure.model)
    return f"**{measure.label} {value}** (95 % interval {low} to {high}; {measure.hint})."


def metrics_table(evaluation: Mapping[str, Any]) -> str:
    """Every metric with its interval, then every value of a baseline, as a Markdown table."""
    names, measures = baseline_names(evaluation), measures_of(evaluation)
    rows = ["| metric | value | 95 % interval |", "|---|---|---|"]
    rows += [_row(f"{measure.label} ({measure.hint})", measure.model, measure) for measure in measures]
    rows += [
        _row(f"baseline, {words}: {measure.label}", measure.baselines[name], measure)
        for name, words in names.items()
        for measure in measures
        if name in measure.baselines
    ]
    return "\n".join(rows)


def _row(title: str, score: Score, measure: Measure) -> str:
    value, low, high = ("" if number is None else f"{number:.{measure.places + 1}f}" for number in score)
    return f"| {title} | {value} | {f'{low} to {high}' if low and high else ''} |"


def hub_metrics(evaluation: Mapping[str, Any]) -> str:
    """The metrics as the hub reads them from a card's header."""
    return "\n".join(f"    - {{type: {one.name}, value: {one.model.value!r}}}" for one in measures_of(evaluation))


def example_text(details: Mapping[str, Any]) -> str:
    """A short prompt of the test split, or an opening where there are none."""
    if not details["by_prompt_length"]:
        return "Parameters\n----------\n"
    return min((example["prompt"] for example in details["best"]), key=len, default="PROMPT")[:PROMPT_CHARACTERS]

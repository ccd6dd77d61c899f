"""The model card: what the model is, what it learned from, how good it is, how to load it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from lmlab.results import Measure, Score, baseline_names, decoding_text, measures_of

PROMPT_CHARACTERS = 200


class Kind(NamedTuple):
    """What a task's model is called, and the hub's word for what it does."""

    title: str
    pipeline_tag: str


KINDS = {
    "language_modeling": Kind("language model", "text-generation"),
    "translation": Kind("translation model", "translation"),
    "question_answering": Kind("question answering model", "question-answering"),
    "summarization": Kind("summarization model", "summarization"),
    "classification": Kind("text classification model", "text-classification"),
}

TEMPLATE = """\
---
library_name: lmlab
pipeline_tag: {pipeline_tag}
tags: [lmlab, {model}]
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

## Loading

```python
from pathlib import Path
from lmlab.bundle import load_bundle
from lmlab.decoding.generate import generate
from lmlab.decoding.sampling import Sampling

model, tokenizer, _ = load_bundle(Path("FOLDER"))
separator = tokenizer.separator_id
{prompt}
[answer] = generate(
    model, [prompt], max_new_tokens=100, sampling=sampling, stop_ids=frozenset({{separator}}), seed=1
)
print(tokenizer.decode(answer))
```

Weights are safetensors; tokenizer.json loads in the library tokenizers and in
`transformers.PreTrainedTokenizerFast(tokenizer_file=...)`; no code of this folder runs.
"""


def model_card(
    config: Mapping[str, Any],
    *,
    cleaning: Mapping[str, Any],
    encoding: Mapping[str, Any],
    evaluation: Mapping[str, Any],
) -> str:
    """The card as Markdown, from the bundle's config and the reports of the stages."""
    training, details = config["training"], evaluation["details"]
    before, train = cleaning["before"], cleaning["splits"]["train"]
    kind = KINDS.get(details["task"], Kind(f"model for the task {details['task']}", "text-generation"))
    return TEMPLATE.format(
        **training,
        **kind._asdict(),
        origin="trained on from another bundle" if training["started_from"] else "trained from scratch",
        source=cleaning["source"]["name"],
        digest=cleaning["source"]["digest"][:16],
        records=train["records"],
        megabytes=train["bytes"] / 1e6,
        kept=f"{cleaning['after']['records']:,} of {before['records']:,} records passed the cleaning",
        tokenizer=encoding["tokenizer"]["name"],
        vocabulary_size=encoding["tokenizer"]["vocabulary_size"],
        bytes_per_token=encoding["splits"]["test"]["bytes_per_token"],
        seed=config["seed"],
        settings="\n".join(f"    {name}: {value}" for name, value in config["model"].items()),
        headline=headline_sentence(measures_of(evaluation)[0]),
        metrics=metrics_table(evaluation),
        reading=details["reading"],
        decoding=f"Answers were found {decoding_text(details['decoding'])}." if details["by_prompt_length"] else "",
        prompt=prompt_lines(details),
    )


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


def prompt_lines(details: Mapping[str, Any]) -> str:
    """Python that builds `prompt` and `sampling`: from a test record's prompt, or an opening where there are none."""
    if not details["by_prompt_length"]:
        opening = 'prompt = [separator, *tokenizer.encode(["Parameters\\n----------\\n"])[0]]'
        return f"{opening}\nsampling = Sampling(temperature=0.7, top_k=0, top_p=0.95)"
    shortest = min((example["prompt"] for example in details["best"]), key=len, default="PROMPT")
    # As repr the prompt is one line of Python, whatever stands in it.
    text = f"text = {shortest[:PROMPT_CHARACTERS]!r}"
    built = "prompt = [separator, *tokenizer.encode([text])[0], separator]  # the second one closes the prompt"
    return f"{text}\n{built}\nsampling = Sampling(temperature=0, top_k=0, top_p=1)  # the likeliest token each time"

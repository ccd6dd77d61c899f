"""The model card: what the model is, what it learned from, how good it is, how to load it."""

from collections.abc import Mapping
from typing import Any

TEMPLATE = """\
---
library_name: lmlab
pipeline_tag: text-generation
tags: [lmlab, {model}]
---

# {model} language model

{parameters:,} parameters ({embedding_parameters:,} of them embeddings), trained from scratch with lmlab.

## Data

Source `{source}` (digest `{digest}`): {records:,} training records, {megabytes:.1f} MB of cleaned text; {kept}.
Tokenizer: {tokenizer}, {vocabulary_size:,} tokens, {bytes_per_token:.2f} bytes a token on the test split.

## Training

{steps:,} steps, {tokens:,} tokens, seed {seed}; best validation at step {best_step:,}:
{validation_bits_per_byte:.4f} bits per byte. Ended by: {stopped_by}.

Settings of the model:

{settings}

## Results on the test split

{metrics}

{reading}

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
prompt = [tokenizer.separator_id, *tokenizer.encode(["Parameters\\n----------\\n"])[0]]
sampling = Sampling(temperature=0.7, top_k=0, top_p=0.95)
[answer] = generate(
    model, [prompt], max_new_tokens=100, sampling=sampling, stop_ids=frozenset({{tokenizer.separator_id}}), seed=1
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
    training = config["training"]
    before, train = cleaning["before"], cleaning["splits"]["train"]
    return TEMPLATE.format(
        **training,
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
        metrics=metrics_table(evaluation),
        reading=evaluation.get("details", {}).get("reading", ""),
    )


def metrics_table(evaluation: Mapping[str, Any]) -> str:
    """Every metric with its interval, then the baselines, as a Markdown table."""
    rows = ["| metric | value | 95 % interval |", "|---|---|---|"]
    for name, value in evaluation.items():
        if isinstance(value, int | float) and not name.endswith(("_low", "_high")):
            low, high = evaluation.get(f"{name}_low"), evaluation.get(f"{name}_high")
            interval = f"{low:.4f} to {high:.4f}" if low is not None and high is not None else ""
            rows.append(f"| {name} | {value:.4f} | {interval} |")
    return "\n".join(rows)

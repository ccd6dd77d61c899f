"""The result in a few lines for a terminal."""

from collections.abc import Mapping
from typing import Any

PREFIX, SUFFIX = "baseline/", "/bits_per_byte"

BASELINE_NAMES = {
    "unigram": "unigram over tokens",
    "xz": "xz, test text alone",
    "zstd": "zstd, test text alone",
    "xz_with_training": "xz, after the training text",
    "zstd_with_training": "zstd, after the training text",
}


def baselines_of(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Bits per byte by the baseline's name for people, in the report's order."""
    names = [key.removeprefix(PREFIX).removesuffix(SUFFIX) for key in evaluation if key.startswith(PREFIX)]
    return {BASELINE_NAMES.get(name, name): evaluation[f"{PREFIX}{name}{SUFFIX}"] for name in names}


def render_summary(evaluation: Mapping[str, Any]) -> str:
    """The test bits per byte with its interval over the baselines, lower is better, as lines of a terminal."""
    value, low, high = (evaluation[key] for key in ("bits_per_byte", "bits_per_byte_low", "bits_per_byte_high"))
    lines = ["bits per byte of the test text (lower is better)"]
    lines.append(f"  {'the model':<30} {value:.3f}  (95 % interval {low:.3f} to {high:.3f})")
    lines += [f"  {name:<30} {number:.3f}" for name, number in baselines_of(evaluation).items()]
    return "\n".join(lines)

"""The page says what the reports say, in the same bytes each time, and hostile text does nothing in it."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lmlab.errors import InputError
from lmlab.files import write_seal
from lmlab.reporting.report import ReportInputs, ReportOutputs, ReportSettings, report, shortened, size_text
from lmlab.reporting.summary import render_summary
from lmlab.run import Run

HOSTILE = '</pre><script>alert("x")</script>&amp;{{ 7 * 7 }}\n```\n# heading\ud800'
SIZES = {"records": 10, "bytes": 2000, "characters": 1900}
COUNTS = {
    "records": 10,
    "tokens": 500,
    "bytes": 2000,
    "bytes_per_token": 4.0,
    "tokens_per_word": 1.5,
    "unknown_tokens": 0,
    "unknown_share": 0.0,
}
SPLITS = ("train", "validation", "test")
CLEANING = {
    "source": {"name": "files", "digest": "abc123"},
    "rows": dict.fromkeys(SPLITS, 10),
    "before": SIZES,
    "after": SIZES,
    "splits": dict.fromkeys(SPLITS, SIZES),
    "rules": [
        {
            "name": "markup",
            "changed": 3,
            "dropped": 1,
            "examples": [
                {"id": "<i>1</i>", "before": HOSTILE, "after": "fine", "why": ""},
                {"id": "2", "before": "gone", "after": "", "why": "too <short>"},
            ],
        }
    ],
    "leaked": 2,
}
ENCODING = {
    "tokenizer": {"name": "bpe", "vocabulary_size": 300},
    "splits": dict.fromkeys(SPLITS, COUNTS),
    "vocabulary_used": 290,
    "vocabulary_used_share": 290 / 300,
}
TRAINING = {
    "model": "lstm",
    "parameters": 1_200_000,
    "embedding_parameters": 200_000,
    "steps": 40,
    "tokens": 9000,
    "best_step": 30,
    "validation_nats_per_token": 3.0,
    "validation_bits_per_byte": 1.5,
    "stopped_by": "early stop",
}
EVALUATION = {
    "bits_per_byte": 1.2345,
    "bits_per_byte_low": 1.2,
    "bits_per_byte_high": 1.3,
    "baseline/unigram/bits_per_byte": 2.5,
    "baseline/xz_with_training/bits_per_byte": 1.7,
    "details": {
        "task": "language_modeling",
        "records": 10,
        "documents": 10,
        "tokens": 500,
        "bytes": 2000,
        "reading": "Every document was read whole.",
        "counting": "Separators are counted.",
        "interval": {"method": "percentile bootstrap", "resampled": "documents", "units": 10, "resamples": 1000},
        "baselines": {"training_bytes_used": 2000, "xz_preset": 9, "zstd_level": 19},
        "decoding": {"max_new_tokens": 5, "sampling": {"temperature": 1.0}},
        "samples": [{"prompt": "", "text": HOSTILE}, {"prompt": HOSTILE, "text": "on"}],
    },
}
EXPORT = {
    "num_prompts": 8,
    "artifacts": [
        {"name": "bundle", "files": ["a", "b"], "bytes": 9, "largest_difference": 0.0, "same_greedy_tokens": 8}
    ],
}
HISTORY = (
    "step,tokens,learning_rate,train_nats_per_token,validation_nats_per_token,validation_bits_per_byte\n"
    "10,100,0.001,5.0,,\n20,200,0.002,4.0,4.5,2.0\n"
)


@pytest.fixture
def inputs(tmp_path: Path) -> ReportInputs:
    reports = {
        "cleaning": CLEANING,
        "encoding": ENCODING,
        "training": TRAINING,
        "evaluation": EVALUATION,
        "export_report": EXPORT,
    }
    for name, value in reports.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    (tmp_path / "history.csv").write_text(HISTORY, encoding="utf-8")
    plots = tmp_path / "plots"
    plots.mkdir()
    (plots / "baselines.svg").write_text("<svg><text>the baselines</text></svg>", encoding="utf-8")
    write_seal(plots, {})
    paths = {name: tmp_path / f"{name}.json" for name in reports}
    return ReportInputs(history=tmp_path / "history.csv", plots=plots, **paths)


def render(inputs: ReportInputs, folder: Path) -> tuple[str, str]:
    outputs = ReportOutputs(folder / "report.html", folder / "report.md")
    report(ReportSettings(), inputs, outputs, Run())
    return outputs.html.read_text(encoding="utf-8"), outputs.markdown.read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Tags seen, and what stands inside <pre>."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.links: list[str] = []
        self.blocks: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag == "pre":
            self.blocks.append("")

    def handle_data(self, data: str) -> None:
        if self.seen and self.seen[-1] in ("pre", "span") and self.blocks:
            self.blocks[-1] += data


def test_both_texts_say_the_headline_number_with_its_interval(inputs: ReportInputs, tmp_path: Path) -> None:
    for text in render(inputs, tmp_path):
        assert "1.234" in text
        assert "1.200 to 1.300" in text
        assert "xz, after the training text" in text


def test_the_page_holds_no_script_and_nothing_from_outside(inputs: ReportInputs, tmp_path: Path) -> None:
    tags = Tags(render(inputs, tmp_path)[0])
    assert "script" not in tags.seen
    assert all(link.startswith("#") for link in tags.links)


def test_hostile_text_stands_in_the_page_as_it_is(inputs: ReportInputs, tmp_path: Path) -> None:
    blocks = Tags(render(inputs, tmp_path)[0]).blocks
    shown = HOSTILE.replace("\ud800", "?")
    assert shown in [block.strip() for block in blocks]


def test_hostile_text_cannot_leave_its_block_in_markdown(inputs: ReportInputs, tmp_path: Path) -> None:
    lines = render(inputs, tmp_path)[1].splitlines()
    assert lines.count("````text") == lines.count("````") == 2
    assert "# heading" not in [line for line in _outside_fences(lines)]
    assert not any("<script" in line for line in _outside_fences(lines))


def _outside_fences(lines: list[str]) -> list[str]:
    outside, fence = [], ""
    for line in lines:
        if fence:
            fence = "" if line == fence else fence
        elif line.startswith("```"):
            fence = line.removesuffix("text")
        else:
            outside.append(line)
    return outside


def test_the_same_inputs_give_the_same_bytes(inputs: ReportInputs, tmp_path: Path) -> None:
    assert render(inputs, tmp_path / "a") == render(inputs, tmp_path / "b")


def test_curves_and_plots_stand_in_the_page(inputs: ReportInputs, tmp_path: Path) -> None:
    page = render(inputs, tmp_path)[0]
    assert "<text>the baselines</text>" in page
    assert "Loss while training" in page


@pytest.mark.parametrize("name", ["cleaning", "encoding", "training", "history", "evaluation", "export_report"])
def test_a_missing_file_is_named(inputs: ReportInputs, tmp_path: Path, name: str) -> None:
    getattr(inputs, name).unlink()
    with pytest.raises(InputError, match=f"{name}.*does not exist"):
        render(inputs, tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_report_that_lacks_a_number_is_a_fault_in_one_line(inputs: ReportInputs, tmp_path: Path) -> None:
    inputs.training.write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"report\.html.*parameters|report\.html.*model"):
        render(inputs, tmp_path)


@pytest.mark.parametrize("text", ["", "step\n1\n", "step,train_nats_per_token\nx,y\n"])
def test_a_history_that_is_none_is_named(inputs: ReportInputs, tmp_path: Path, text: str) -> None:
    inputs.history.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"history\.csv"):
        render(inputs, tmp_path)


def test_summary_says_the_number_the_interval_and_the_baselines() -> None:
    assert render_summary(EVALUATION).splitlines() == [
        "bits per byte of the test text (lower is better)",
        "  the model                      1.234  (95 % interval 1.200 to 1.300)",
        "  unigram over tokens            2.500",
        "  xz, after the training text    1.700",
    ]


def test_sizes_are_said_for_people() -> None:
    assert [size_text(size) for size in (812, 1400, 23_100_000)] == ["812 bytes", "1.4 kB", "23.1 MB"]


def test_long_examples_are_cut_and_the_cut_is_said() -> None:
    assert shortened("x" * 405) == "x" * 400 + " [5 more characters]"

"""What a stage writes is decided by its inputs, to the byte: all stages twice, in two folders, at two times."""

from pathlib import Path
from typing import Any

import pytest

from lmlab.files import file_digest, folder_files
from lmlab.run import Run
from pipelines.compose import compose
from pipelines.in_process import run_stages
from pipelines.settings import validate_params
from pipelines.workspace import stage_fingerprints
from tests.corpus import sentences

TINY = [
    "source=files",
    "source.documents=paragraphs",
    "tokenizer.vocabulary_size=300",
    "model.width=32",
    "model.heads=2",
    "model.key_heads=1",
    "model.feed_forward_width=48",
    "model.layers=1",
    "training.sequence_length=32",
    "training.batch_rows=2",
    "training.max_steps=6",
    "training.validate_every_steps=3",
    "evaluation.bootstrap.num_resamples=20",
    "task.decoding.max_new_tokens=8",
    "runtime.tracking=false",
]


def _digests(project: Path, params: dict[str, Any]) -> dict[str, str]:
    fingerprints = stage_fingerprints(project, params, "made up")
    run_stages(validate_params(params), project / "work", fingerprints, Run())
    work = project / "work"
    # Locks are no outputs.
    return {
        path.relative_to(work).as_posix(): file_digest(path) for path in folder_files(work) if path.suffix != ".lock"
    }


@pytest.mark.long
def test_two_runs_of_the_whole_pipeline_write_the_same_bytes(project: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    paragraphs = ["".join(sentences(8, seed=number)) for number in range(400)]
    text.write_text("\n".join(paragraphs), encoding="utf-8")
    params = compose([*TINY, f"source.path={text}"])
    first = _digests(project, params)
    (project / "work").rename(tmp_path / "kept")
    second = _digests(project, params)
    assert first == second
    assert {name.split("-")[0] for name in first} == {"clean", "encode", "train", "evaluate", "export", "report"}

"""A model pretrained on plain text is fine-tuned on a task, and MLflow knows which run it began from."""

from pathlib import Path

import pytest

from lmlab.files import file_digest, read_json
from lmlab.tracking import open_store
from pipelines.compose import compose
from pipelines.in_process import run_pipeline
from tests.pipelines.tiny import SOURCE, TINY, TRANSFORMER, write_text

pytestmark = pytest.mark.long


def test_fine_tuning_goes_on_from_a_pretrained_bundle(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_text(project)
    paths = run_pipeline(compose([*TINY, *TRANSFORMER]), project, name="pretraining", parent=None)
    bundle = paths["bundle"]

    task = ["task=translation", "source.columns={source: text, target: text}"]
    sizes = [override for override in TINY if "vocabulary_size" not in override and override not in SOURCE]
    own = ["tokenizer=existing", f"tokenizer.path={bundle}", f"training.start_from={bundle}"]
    rows = project / "my.jsonl"
    rows.write_text("".join(f'{{"text": "sentence {number}"}}\n' for number in range(300)), encoding="utf-8")
    params = compose(["source=files", f"source.path={rows}", *task, *sizes, *TRANSFORMER, *own])
    tuned = run_pipeline(params, project, name="fine-tuning", parent=None)
    assert read_json(tuned["training"])["started_from"] == file_digest(bundle / "model.safetensors")

    store = open_store(project)
    runs = {run.info.run_name: run for run in store.client.search_runs([store.experiment_id])}
    assert runs["fine-tuning"].data.tags["lmlab.started_from_run"] == runs["pretraining"].info.run_id

"""A model whose graph would be larger than one file of protobuf: torch runs it, and it has no form of ONNX."""

from pathlib import Path

import pytest

from lmlab.bundle import load_bundle
from lmlab.engines import graph
from lmlab.engines.onnx_model import engine_of
from lmlab.export.exporters import EXPORTERS, onnx
from tests.applying.tiny_bundles import tiny_bundle


@pytest.mark.parametrize("model", ["transformer", "lstm"])
def test_the_bound_is_that_of_the_weights_in_the_graph(model: str, tmp_path: Path) -> None:
    loaded = load_bundle(tiny_bundle(tmp_path / "bundle", "translation", model=model)).model
    built = graph.graph_of(loaded, fused=False)
    assert built is not None
    tables = {"cosine", "sine"}
    weights = [one for one in built.model.graph.initializer if one.data_type == 1 and one.name not in tables]
    held = sum(len(weight.raw_data) for weight in weights)
    assert held <= graph.graph_bytes(loaded) <= 1.3 * held


def test_a_model_that_is_too_large_for_one_file_is_run_by_torch_and_left_out_by_onnx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = load_bundle(tiny_bundle(tmp_path / "bundle", "translation"))
    size = graph.graph_bytes(bundle.model)
    exporters = [EXPORTERS.get(name).build() for name in ("onnx", "onnx_int8")]
    for bound, is_taken in ((size, True), (size - 1, False)):
        monkeypatch.setattr(graph, "MOST_BYTES", bound)
        monkeypatch.setattr(onnx, "MOST_BYTES", bound)
        assert (engine_of(bundle.model) is not bundle.model) == is_taken
        line = f"holds weights of at most {bound:,} bytes, found {size:,}"
        assert [one.refusal(bundle) for one in exporters] == [None if is_taken else line] * 2

"""An ONNX graph, which reads tokens and a state and gives logits and the next state; run by onnxruntime.

model.onnx  config.json  tokenizer.json

Standard operators alone, with ONNX's own LSTM, GRU and attention; batch and time are free. config.json says what an
empty state is, for other languages to begin with.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from lmlab.bundle import load_bundle
from lmlab.engines.graph import MOST_BYTES, OPSET, graph_bytes, graph_of
from lmlab.engines.onnx_model import CONFIG_NAME, GRAPH_NAME, load_onnx
from lmlab.export.exporter import Artifact, Exporter
from lmlab.export.exporters import EXPORTERS
from lmlab.export.exporters.bundle import NoSettings, OwnModel
from lmlab.files import write_json

if TYPE_CHECKING:
    from lmlab.bundle import Bundle

FORMAT = "lmlab-onnx-1"
USAGE = """\
```python
import json
from pathlib import Path
import numpy as np
import onnxruntime
from tokenizers import Tokenizer

facts = json.loads(Path("FOLDER/config.json").read_text(encoding="utf-8"))
tokenizer = Tokenizer.from_file("FOLDER/tokenizer.json")
session = onnxruntime.InferenceSession("FOLDER/model.onnx")
state = {{one["before"]: np.zeros([1, *(size or 0 for size in one["shape"])], np.float32) for one in facts["state"]}}
tokens, answer = tokenizer.encode({text!r}).ids, []
for _ in range(min(64, (facts["context_length"] or 1_000_000) - len(tokens))):
    logits, *after = session.run(None, {{"tokens": np.array([tokens]), **state}})
    state = dict(zip(state, after))
    tokens = [int(logits[0, -1].argmax())]
    if tokens[0] == facts["separator_id"]:
        break
    answer += tokens
print(tokenizer.decode(answer))
```

The graph has standard operators alone (opset {opset})."""


class OnnxExporter(Exporter):
    """Writes the graph, the tokenizer and the facts that a decoding loop needs."""

    library = "onnx"

    def refusal(self, bundle: "Bundle") -> str | None:
        """A pretrained model has no graph of ours, and a graph is one file of less than 2 GiB."""
        if (size := graph_bytes(bundle.model)) > MOST_BYTES:
            return f"holds weights of at most {MOST_BYTES:,} bytes, found {size:,}"
        if graph_of(bundle.model, fused=False) is None:
            return f"exports models of this project, found {bundle.config['model']['name']}"
        return None

    def write(self, bundle: Path, folder: Path) -> None:
        """Write every file."""
        model, tokenizer, config = loaded = load_bundle(bundle)
        graph = graph_of(model, fused=False)
        assert graph is not None, "the stage asks for refusals first"
        (folder / GRAPH_NAME).write_bytes(graph.model.SerializeToString(deterministic=True))
        closes = bool(loaded.task.prompt)
        tokenizer.with_separators(closes=closes).save(folder)
        facts = {
            "format": FORMAT,
            "vocabulary_size": config["vocabulary_size"],
            "context_length": model.context_length,
            "separator_id": tokenizer.separator_id,
            "task": loaded.task.model_dump(),
            # Without the batch; a null is the time, which is 0 at first.
            "state": [{"before": one.before, "after": one.after, "shape": one.shape} for one in graph.state],
        }
        write_json(folder / CONFIG_NAME, facts)

    def usage(self, bundle: "Bundle", text: str) -> str:
        """By onnxruntime and tokenizers alone."""
        del bundle
        return USAGE.format(text=text, opset=OPSET)

    def load(self, folder: Path) -> Artifact:
        """By onnxruntime."""
        return OwnModel(load_onnx(folder))


@EXPORTERS.register(NoSettings)
def build() -> Exporter:
    """The exporter."""
    return OnnxExporter()

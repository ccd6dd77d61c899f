"""The ONNX graph with the weights of its products in 8 bits: smaller, and not quite the same answers.

model.onnx  config.json  tokenizer.json
"""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lmlab.engines.onnx_model import GRAPH_NAME
from lmlab.export.exporter import Exporter
from lmlab.export.exporters import EXPORTERS
from lmlab.export.exporters.bundle import NoSettings
from lmlab.export.exporters.onnx import OnnxExporter


class Int8Exporter(OnnxExporter):
    """Quantizes what the exporter onnx writes; activations are quantized as they come (dynamically)."""

    is_exact = False

    def write(self, bundle: Path, folder: Path) -> None:
        """Write every file."""
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with _without_advice(), tempfile.TemporaryDirectory(prefix=".onnx-", dir=folder) as scratch:
            super().write(bundle, Path(scratch))
            for path in Path(scratch).iterdir():
                shutil.copyfile(path, folder / path.name)
            quantize_dynamic(
                Path(scratch) / GRAPH_NAME,
                folder / GRAPH_NAME,
                op_types_to_quantize=["MatMul"],
                weight_type=QuantType.QInt8,
                per_channel=True,
            )


@contextmanager
def _without_advice() -> Iterator[None]:
    """The quantizer advises by the root logger to prepare convolutions, of which there are none."""

    def is_no_advice(record: logging.LogRecord) -> bool:
        return record.module != "quantize"

    root = logging.getLogger()
    root.addFilter(is_no_advice)
    try:
        yield
    finally:
        root.removeFilter(is_no_advice)


@EXPORTERS.register(NoSettings)
def build() -> Exporter:
    """The exporter."""
    return Int8Exporter()

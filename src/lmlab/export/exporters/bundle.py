"""The bundle itself: safetensors, tokenizer.json and config.json, as lmlab loads it."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lmlab.config import Settings
from lmlab.export.exporter import Artifact, Exporter
from lmlab.export.exporters import EXPORTERS
from lmlab.files import SEAL_NAME, folder_files

if TYPE_CHECKING:
    from lmlab.bundle import Bundle
    from lmlab.models.architectures.language_model import LanguageModel


USAGE = """\
`python -m pipelines.apply --model FOLDER` on the command line, or in Python:

```python
from pathlib import Path
from lmlab.applying.opening import open_applier

applier = open_applier(Path("FOLDER"))
[reply] = applier.answer([{record!r}])
print(reply.text)
```

Weights are safetensors; no code of this folder runs."""


class NoSettings(Settings):
    """The exporter has none."""


class BundleExporter(Exporter):
    """Copies the bundle."""

    library = "lmlab"

    def write(self, bundle: Path, folder: Path) -> None:
        """Copy every file, the seal too."""
        for path in [*folder_files(bundle), bundle / SEAL_NAME]:
            shutil.copyfile(path, folder / path.name)

    def usage(self, bundle: "Bundle", text: str) -> str:
        """By lmlab, on the command line and in Python."""
        fields = bundle.task.prompt_fields()
        record = {fields[0]: text} if len(fields) == 1 else dict.fromkeys(fields, "...") or {"text": text}
        return USAGE.format(record=record)

    def load(self, folder: Path) -> Artifact:
        """The bundle's model in torch."""
        from lmlab.bundle import load_bundle

        return OwnModel(load_bundle(folder).model)


class OwnModel(Artifact):
    """A model behind the seam of this project."""

    def __init__(self, model: "LanguageModel") -> None:
        self._model = model

    def logits(self, prompt: Sequence[int]) -> NDArray[np.float32]:
        """In one pass."""
        import torch

        with torch.inference_mode():
            return self._model(torch.tensor([list(prompt)]))[0][0].numpy()

    def greedy(self, prompt: Sequence[int], *, count: int) -> list[int]:
        """By `generate`."""
        from lmlab.decoding.generate import generate
        from lmlab.decoding.sampling import Sampling

        sampling = Sampling(temperature=0, top_k=0, top_p=1)
        [written] = generate(
            self._model, [prompt], max_new_tokens=count, sampling=sampling, stop_ids=frozenset(), seed=0
        )
        return written


@EXPORTERS.register(NoSettings)
def build() -> Exporter:
    """The exporter."""
    return BundleExporter()

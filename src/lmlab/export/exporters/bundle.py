"""The bundle itself: safetensors, tokenizer.json and config.json, as lmlab loads it."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from lmlab.config import Settings
from lmlab.export.exporter import Answer, Exporter
from lmlab.export.exporters import EXPORTERS
from lmlab.files import SEAL_NAME, folder_files


class NoSettings(Settings):
    """The exporter has none."""


class BundleExporter(Exporter):
    """Copies the bundle."""

    def write(self, bundle: Path, folder: Path) -> None:
        """Copy every file, the seal too."""
        for path in [*folder_files(bundle), bundle / SEAL_NAME]:
            shutil.copyfile(path, folder / path.name)

    def answer(self, folder: Path, prompts: Sequence[Sequence[int]], *, greedy_tokens: int) -> list[Answer]:
        """Load the bundle and read each prompt by itself."""
        import torch

        from lmlab.bundle import load_bundle
        from lmlab.decoding.generate import generate
        from lmlab.decoding.sampling import Sampling

        model = load_bundle(folder).model
        answers = []
        for prompt in prompts:
            with torch.inference_mode():
                logits = model(torch.tensor([prompt]))[0][0].numpy()  # (time, vocabulary)
            greedy = Sampling(temperature=0, top_k=0, top_p=1)
            [written] = generate(
                model, [prompt], max_new_tokens=greedy_tokens, sampling=greedy, stop_ids=frozenset(), seed=0
            )
            answers.append(Answer(logits, written))
        return answers


@EXPORTERS.register(NoSettings)
def build() -> Exporter:
    """The exporter."""
    return BundleExporter()

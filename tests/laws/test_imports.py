"""Imports go down only, and each heavy library has one door."""

from pathlib import Path

import pytest

from tests.laws.imports import PROJECT, imported_names, module_files, module_name, own_imports

LAYERS = [
    {"comparison", "reported", "playground"},
    {"training", "evaluation", "export", "reporting"},
    {"bundle", "decoding", "engines", "applying", "tracking", "search"},
    {"data", "models"},
]
FAMILIES_THAT_NEVER_MEET = [
    {"comparison", "reported", "playground"},
    {"training", "evaluation", "export", "reporting"},
    {"data", "models"},
]
DOORS = {
    "mlflow": ("src/lmlab/tracking",),
    "pytorch_lightning": ("src/lmlab/training/lightning.py",),
    "tokenizers": ("src/lmlab/data/tokenizer",),
    "transformers": ("src/lmlab/export", "src/lmlab/models/architectures"),
    "onnx": ("src/lmlab/engines",),
    # The exporter of 8 bits quantizes by it.
    "onnxruntime": ("src/lmlab/engines", "src/lmlab/export"),
    "gguf": ("src/lmlab/export",),
    "gradio": ("src/lmlab/playground",),
    "optuna": ("src/lmlab/search",),
    "hydra": ("pipelines",),
}


def _level(name: str) -> int:
    top = name.split(".")[1] if "." in name else ""
    return next((index for index, layer in enumerate(LAYERS) if top in layer), len(LAYERS))


@pytest.mark.parametrize("path", module_files(), ids=str)
def test_imports_go_down_only(path: Path) -> None:
    name = module_name(path)
    for imported in own_imports(path):
        other = module_name(imported)
        assert _level(other) >= _level(name), f"{name} imports {other}, which stands above it"


@pytest.mark.parametrize("path", module_files(), ids=str)
def test_neighbours_that_must_not_know_each_other_do_not(path: Path) -> None:
    family = module_name(path).split(".")[1:2]
    for families in FAMILIES_THAT_NEVER_MEET:
        for imported in own_imports(path):
            other = module_name(imported).split(".")[1:2]
            if family and other and family[0] in families and other[0] in families:
                assert family == other, f"{path} imports {imported}"


@pytest.mark.parametrize(("library", "doors"), DOORS.items(), ids=DOORS)
def test_each_heavy_library_has_its_door(library: str, doors: tuple[str, ...]) -> None:
    pipelines = [path.relative_to(PROJECT) for path in (PROJECT / "pipelines").glob("*.py")]
    for path in [*module_files(), *pipelines]:
        if any(name.split(".")[0] == library for name in imported_names(path)):
            assert path.as_posix().startswith(doors), f"{path} imports {library}, whose door is {' and '.join(doors)}"


def test_the_package_lightning_is_no_dependency() -> None:
    pins = (PROJECT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert not [line for line in pins if line.lower().startswith("lightning==")]


def test_no_module_has_a_name_that_says_nothing() -> None:
    for path in module_files():
        assert path.stem not in {"utils", "helpers", "common", "misc"}

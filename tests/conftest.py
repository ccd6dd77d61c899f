"""What all tests share: shapes checked at run time, tiny settings and tiny data."""

import os
import signal
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# A shell starts what it runs in the background with Ctrl-C ignored, and the commands that tests interrupt inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

try:
    from jaxtyping import install_import_hook
except ImportError:  # pragma: no cover
    raise SystemExit("the tests need the development extras: make test") from None

# From here on every annotation of a shape is checked at each call.
install_import_hook(
    ["lmlab.models.architectures", "lmlab.decoding", "lmlab.training.learner", "lmlab.evaluation.scoring"],
    "beartype.beartype",
)

PROJECT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for a clone: the project's own settings and code, nothing computed yet."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("conf", "src", "pipelines", "dvc.yaml", "constraints.txt"):
        (folder / name).symlink_to(PROJECT / name)
    monkeypatch.chdir(folder)
    return folder

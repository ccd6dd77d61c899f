"""No file that somebody else may have written can run code: nothing of the project unpickles, evaluates or shells."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.laws.imports import PROJECT

FILES = sorted(
    path.relative_to(PROJECT)
    for folder in ("src", "pipelines", "benchmarks")
    for path in (PROJECT / folder).rglob("*.py")
)
UNPICKLING = {
    "pickle.load": "src/lmlab/tracking/tracker.py",
    "cloudpickle.loads": "src/hydra_plugins/lmlab_launchers/_shipping.py",
}
"""Where it is allowed: on a pipe of two processes of ours, and for jobs of the own cluster."""
NEVER = {
    *("eval", "exec", "os.system", "os.popen", "marshal.loads", "shelve.open", "dill.load", "dill.loads"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load", "cloudpickle.loads", "joblib.load"),
    *("pandas.read_pickle", "pd.read_pickle", "yaml.unsafe_load", "yaml.full_load"),
    "importlib.util.spec_from_file_location",
}
ONLY_WITH = {"torch.load": ("weights_only", "True")}
"""Calls that must say so."""
NEVER_WITH = {("allow_pickle", "True"), ("shell", "True"), ("trust_remote_code", "True"), ("weights_only", "False")}
# The last one is the quicker of the two, where there is one.
SAFE_LOADERS = {"yaml.SafeLoader", "yaml.CSafeLoader", "loader"}


def _faults(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse((PROJECT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            # Calls are known by the whole name alone.
            yield from (f"imports {name}" for one in node.names if (name := f"{node.module}.{one.name}") in NEVER)
        if isinstance(node, ast.Call):
            yield from _faults_of(node, path)


def _faults_of(call: ast.Call, path: Path) -> Iterator[str]:
    name = ast.unparse(call.func)
    said = {(one.arg, ast.unparse(one.value)) for one in call.keywords}
    if name in NEVER and path.as_posix() != UNPICKLING.get(name):
        yield f"calls {name}"
    if name in ONLY_WITH and ONLY_WITH[name] not in said:
        yield f"calls {name} without {'='.join(ONLY_WITH[name])}"
    if name == "yaml.load" and ast.unparse(call.args[1]) not in SAFE_LOADERS:
        yield "calls yaml.load with another loader than the safe one"
    for option in NEVER_WITH & said:
        yield f"says {'='.join(map(str, option))}"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_nothing_that_is_read_can_run_code(path: Path) -> None:
    assert list(_faults(path)) == []


@pytest.mark.parametrize(
    "line",
    [
        *("pickle.loads(content)", "from pickle import loads", "eval(text)", "subprocess.run(line, shell=True)"),
        *("torch.load(path)", "torch.load(path, weights_only=False)"),
        *("np.load(path, allow_pickle=True)", "yaml.load(text, yaml.Loader)"),
    ],
)
def test_the_law_sees_what_it_forbids(line: str, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(line, encoding="utf-8")
    assert list(_faults(path))

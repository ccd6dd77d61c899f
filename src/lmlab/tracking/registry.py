"""The store's registered models: one for each task, with a version for each experiment's model, and addresses of them.

A run that stands alone registers its model when it is filled in. A sweep's jobs do not, as most of them are only there
to be compared: the one that is chosen is registered when it is made the champion.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from filelock import FileLock

from lmlab.errors import InputError
from lmlab.files import whole_folder
from lmlab.text import digest_of
from lmlab.tracking.finding import find_one_run
from lmlab.tracking.identity import FINGERPRINT_TAG
from lmlab.tracking.model import LOADER, VERSIONS_TAG, WEIGHTS_TAG, model_of
from lmlab.tracking.reading import parsed
from lmlab.tracking.store import Store, TrackingError, first_line, open_store, unless_there, without_credentials

if TYPE_CHECKING:
    from mlflow.entities import Run as StoredRun
    from mlflow.entities.model_registry import ModelVersion

FoundT = TypeVar("FoundT")

CHAMPION = "champion"
"""The alias of the version that is meant to be used."""
RUN_TAG = "lmlab.run"
LATEST = "latest"
MANIFEST = "MLmodel"
SHOWN = 5
FORMS = "models:/NAME@ALIAS, models:/NAME/VERSION, models:/m-ID or runs:/RUN/model"
_IDENTITY = (FINGERPRINT_TAG, WEIGHTS_TAG)
_log = logging.getLogger("lmlab")


class RegisteredVersion(NamedTuple):
    """A version of a registered model."""

    name: str
    number: int


class Promotion(NamedTuple):
    """The version that became the champion, and the number of the one that was it before."""

    version: RegisteredVersion
    before: int | None


def register(store: Store, run_id: str) -> RegisteredVersion:
    """The version that the run's model is in the registered model of its task, registered if it is not yet.

    Experiments of one fingerprint whose models have the same weights share a version; its metric is kept up to date.
    Raises: InputError if the run has no model.
    """
    run, model = store.client.get_run(run_id), model_of(store, run_id)
    name = run.data.params.get("task.name")
    if model is None or name is None:
        raise InputError(f"the run {run.info.run_name} ({run_id}) has no model: its stage export has not been tracked")
    tags = _tags_of(run)
    with FileLock(store.lock):
        version = _find_version(store, name, tags)
        if version is None:
            # Its files, not models:/ID: an SQL store looks that up in the store of MLflow's own settings.
            created = store.client.create_model_version(
                name,
                model.artifact_location,
                run_id=run_id,
                tags={RUN_TAG: run_id, **tags},
                model_id=model.model_id,
            )
            version = _first_version(store, created, tags)
            _link(store, model.model_id, version)
    for key, value in tags.items():
        if version.tags.get(key) != value:
            store.client.set_model_version_tag(name, str(version.version), key, value)
    return RegisteredVersion(name, int(version.version))


def _tags_of(run: "StoredRun") -> dict[str, str]:
    """What tells the version from others, and how good it is: the first metric of its task."""
    tags = {key: run.data.tags[key] for key in _IDENTITY if key in run.data.tags}
    metrics = parsed(run.data.params.get("task.metrics", "[]"))
    headline = str(metrics[0]) if isinstance(metrics, list) and metrics else None
    return tags | ({headline: f"{run.data.metrics[headline]:.6g}"} if headline in run.data.metrics else {})


def _find_version(store: Store, name: str, tags: Mapping[str, str]) -> "ModelVersion | None":
    """The version with the same identity; the registered model is created if the store lacks it."""
    if _if_there(lambda: store.client.get_registered_model(name)) is None:
        with unless_there():
            store.client.create_registered_model(name, description=f"Models that lmlab trained on the task {name}.")
    wanted = [tags.get(key) for key in _IDENTITY]
    versions = [one for one in _versions(store, name) if [one.tags.get(key) for key in _IDENTITY] == wanted]
    return min(versions, key=lambda version: int(version.version), default=None)


def _first_version(store: Store, created: "ModelVersion", tags: Mapping[str, str]) -> "ModelVersion":
    """The version that stays of those that several machines created of the same model at the same moment."""
    first = _find_version(store, created.name, tags) or created
    if first.version != created.version:
        store.client.delete_model_version(created.name, str(created.version))
    return first


def _link(store: Store, model_id: str, version: "ModelVersion") -> None:
    """Let the model's page show its version, which a server does by itself and an SQL store does not."""
    if VERSIONS_TAG not in store.client.get_logged_model(model_id).tags:
        versions = [{"name": version.name, "version": version.version}]
        store.client.set_logged_model_tags(model_id, {VERSIONS_TAG: json.dumps(versions)})


def make_champion(project: Path, named: str) -> Promotion:
    """Give the alias `champion` of its task's registered model to the version of the run that a person names.

    Raises: InputError if no run or several are meant, or it has no model.
    """
    store = open_store(project)
    version = register(store, find_one_run(project, named).run_id)
    registered = store.client.get_registered_model(version.name)
    before = registered.aliases.get(CHAMPION)
    store.client.set_registered_model_alias(version.name, CHAMPION, str(version.number))
    return Promotion(version, None if before is None else int(before))


def model_folder(project: Path, address: str) -> Path:
    """The bundle that an address in the project's store means, downloaded into work/models/ if it lies elsewhere.

    Addresses: models:/NAME@ALIAS, models:/NAME/VERSION, models:/NAME/latest, models:/m-ID, runs:/RUN/model. No code of
    the logged model is run or downloaded.
    Raises: InputError that names the models that exist, if there is no such model.
    """
    from mlflow.utils.file_utils import local_file_uri_to_path
    from mlflow.utils.uri import is_local_uri

    store = open_store(project)
    uri = _artifacts_of(project, store, address)
    if is_local_uri(uri):
        folder = Path(local_file_uri_to_path(uri))
        if not (folder / MANIFEST).is_file():
            raise InputError(f"{address}: its files are gone from {folder}")
        return folder / _bundle_path(folder / MANIFEST, address)
    return _downloaded(project / "work" / "models" / digest_of(uri)[:16], store, uri, address)


def _artifacts_of(project: Path, store: Store, address: str) -> str:
    """Where the model lies that the address means."""
    scheme, _, rest = address.partition(":/")
    path = rest.strip("/")
    name, slash, version = path.partition("/")
    if scheme == "runs" and slash:
        return _artifacts_of_run(project, store, *path.rsplit("/", 1))
    if scheme == "models" and not slash and path.startswith("m-") and "@" not in path:
        return _artifacts_of_model(store, path)
    if scheme == "models" and (slash or "@" in path):
        alias = None
        if not slash:
            name, _, alias = path.rpartition("@")
        return _artifacts_of_version(store, address, name, version=version, alias=alias)
    raise InputError(f"{address}: is no address of a model: use {FORMS}")


def _artifacts_of_run(project: Path, store: Store, named: str, model_name: str) -> str:
    run = find_one_run(project, named)
    model = model_of(store, run.run_id)
    if model is None:
        raise InputError(f"runs:/{named}: the run {run.name} has no model: its stage export has not been tracked")
    if model_name not in ("model", model.name):
        raise InputError(f"runs:/{named}/{model_name}: the run's model is called {model.name}; use runs:/{named}/model")
    return model.artifact_location


def _artifacts_of_model(store: Store, model_id: str) -> str:
    model = _if_there(lambda: store.client.get_logged_model(model_id))
    if model is None:
        newest = store.client.search_logged_models([store.experiment_id], max_results=SHOWN)
        names = [f"{one.model_id} ({one.name})" for one in newest]
        raise InputError(
            f"models:/{model_id}: the store {store.shown_address} has no such model; the newest: {_listed(names)}"
        )
    return model.artifact_location


def _artifacts_of_version(store: Store, address: str, name: str, *, version: str, alias: str | None) -> str:
    registered = _if_there(lambda: store.client.get_registered_model(name))
    if registered is None:
        known = [one.name for one in store.client.search_registered_models()]
        raise InputError(
            f"{address}: the store {store.shown_address} has no registered model '{name}'; "
            f"registered: {_listed(known)}; `python -m pipelines.promote RUN --champion` registers a run's model"
        )
    numbers = sorted((int(one.version) for one in _versions(store, name)), reverse=True)
    if version == LATEST and numbers:
        version = str(numbers[0])
    if alias is not None:
        version = str(registered.aliases.get(alias, ""))
    if not version.isdecimal() or int(version) not in numbers:
        aliases = [f"{known} (version {number})" for known, number in sorted(registered.aliases.items())]
        raise InputError(
            f"{address}: there is no such version; newest versions of {name}: {_listed(numbers[:SHOWN])}; "
            f"aliases: {_listed(aliases)}; `python -m pipelines.promote RUN --champion` sets the alias {CHAMPION}"
        )
    return store.client.get_model_version_download_uri(name, version)


def _listed(names: Sequence[object]) -> str:
    return ", ".join(map(str, names)) or "none"


def _if_there(ask: Callable[[], FoundT]) -> FoundT | None:
    """What is asked for; None if the store has nothing of that name, or no name is like that."""
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _versions(store: Store, name: str) -> "list[ModelVersion]":
    found, token = [], None
    while True:
        page = store.client.search_model_versions(f"name = '{name}'", page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def _bundle_path(manifest: Path, address: str) -> Path:
    """Where the bundle lies beside its model's manifest, which is read as plain data."""
    import yaml

    try:
        flavor: Mapping[str, Any] = yaml.safe_load(manifest.read_text(encoding="utf-8"))["flavors"]["python_function"]
        loader, data = flavor["loader_module"], Path(flavor["data"])
    except Exception:  # PyYAML stumbles over dates, depths and numbers in ways of their own
        raise InputError(f"{address}: {manifest} does not say where a bundle lies: lmlab did not log it") from None
    if loader != LOADER or data.is_absolute() or ".." in data.parts:
        raise InputError(f"{address}: is no model that lmlab logged: {loader} loads it, from {data}")
    return data


def _downloaded(folder: Path, store: Store, uri: str, address: str) -> Path:
    """The model's manifest and bundle in this folder, fetched once: what was logged does not change."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            _log.info("downloading the model %s", address)
            with whole_folder(folder) as partial:
                _fetch(store, f"{uri}/{MANIFEST}", partial, address)
                data = _bundle_path(partial / MANIFEST, address)
                _fetch(store, f"{uri}/{data.as_posix()}", (partial / data).parent, address)
    return folder / _bundle_path(folder / MANIFEST, address)


def _fetch(store: Store, uri: str, folder: Path, address: str) -> None:
    from mlflow.artifacts import download_artifacts

    try:
        download_artifacts(uri, dst_path=str(folder), tracking_uri=store.address)
    except Exception as error:  # each kind of place fails in its own ways
        shown = without_credentials(uri)
        raise TrackingError(f"{address}: {shown} cannot be downloaded: {first_line(error)}") from error

"""How MLflow loads a logged bundle and asks it: a column for each of the task's fields in, the answers out.

A request that cannot be answered gets one line that says why (HTTP status 400), and the server goes on.
MLflow alone imports this module, so its parts stand at the top.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import Map
from pandas import DataFrame

from lmlab.applying.applier import OPENING, Applier, Reply, changed_decoding
from lmlab.applying.opening import open_applier
from lmlab.data.task import DecodingSettings, LearnedTask, RankingDecoding, SamplingDecoding
from lmlab.errors import InputError

SEED = "seed"
FIRST_SEED = 1
# What one request may ask for at most, unless the task itself asks for more: memory is reserved for it at once.
MOST = {"max_new_tokens": 4096, "beams": 64}
MOST_CHARACTERS = 1_000_000
"""Of a text; a recurrent model would read on for hours."""


class RefusedRequestError(MlflowException):
    """A request that cannot be answered, in one line: MLflow's server would put the request's data before it."""

    def __init__(self, line: str) -> None:
        super().__init__(line, error_code=BAD_REQUEST)
        self.line = line

    def serialize_as_json(self) -> str:
        """What the server sends."""
        self.message = self.line
        return super().serialize_as_json()


def signature(task: LearnedTask) -> ModelSignature:
    """The task's fields in; out the column `text`, or `label` and `probabilities` where the task ranks labels.

    A request may change how the task decodes. The columns are all needed; that MLflow calls them optional leaves it
    to the model to say which one is missing, which it does in one line.
    """
    fields: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.string, field, required=False) for field in task.prompt_fields() or [OPENING]
    ]
    answers: list[ColSpec | TensorSpec] = [ColSpec(DataType.string, "text")]
    if isinstance(task.decoding, RankingDecoding):
        answers = [ColSpec(DataType.string, "label"), ColSpec(Map(DataType.double), "probabilities")]
    changes = [
        ParamSpec(name, DataType.long if isinstance(value, int) else DataType.double, value)
        for name, value in params_of(task.decoding).items()
    ]
    given = {"params": ParamSchema(changes)} if changes else {}
    return ModelSignature(inputs=Schema(fields), outputs=Schema(answers), **given)


def params_of(decoding: DecodingSettings) -> dict[str, float | int]:
    """What a request may change, with the task's own values."""
    values = decoding.model_dump(exclude={"name", "sampling"})
    if isinstance(decoding, SamplingDecoding):
        values |= {**decoding.sampling.model_dump(), SEED: FIRST_SEED}
    return values


class ServedModel:
    """What MLflow asks."""

    def __init__(self, applier: Applier) -> None:
        self._applier = applier

    def predict(self, model_input: DataFrame, params: dict[str, Any] | None = None) -> DataFrame:
        """The answers, a row for each row; MLflow completes the params.

        Raises: RefusedRequestError with one line for what cannot be answered.
        """
        try:
            replies = self._answer(self._records(model_input), params or {})
        except InputError as error:
            raise RefusedRequestError(str(error)) from None
        if isinstance(self._applier.task.decoding, RankingDecoding):
            columns = {"label": [reply.text for reply in replies]}
            return DataFrame({**columns, "probabilities": [reply.probabilities for reply in replies]})
        return DataFrame({"text": [reply.text for reply in replies]})

    def _records(self, model_input: DataFrame) -> list[dict[str, str]]:
        task, fields = self._applier.task, self._applier.fields
        for field in fields:
            if field not in model_input.columns:
                raise InputError(
                    f"{field}: this column is missing; the task {task.name} asks for {' and '.join(fields)}"
                )
            if list(model_input.columns).count(field) > 1:
                raise InputError(f"{field}: several columns have this name; give it to one")
        return [dict(zip(fields, row, strict=True)) for row in model_input[fields].itertuples(index=False)]

    def _answer(self, records: Sequence[dict[str, str]], params: Mapping[str, Any]) -> list[Reply]:
        own = self._applier.task.decoding
        _check_size(own, params)
        decoding = changed_decoding(own, {name: value for name, value in params.items() if name != SEED})
        seed = params.get(SEED, FIRST_SEED)
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise InputError(f"params.{SEED}: must be a whole number, found {seed!r}")
        _check_lengths(records)
        try:
            return self._applier.answer(records, decoding=decoding, seed=seed)
        except InputError:
            self._name_the_row(records, decoding)
            raise

    def _name_the_row(self, records: Sequence[dict[str, str]], decoding: DecodingSettings) -> None:
        """Raise the first fault of a row with the row's number, if there are several rows and one is at fault."""
        for number, record in enumerate(records, start=1):
            try:
                self._applier.prompts([record], decoding)
            except InputError as error:
                if len(records) > 1:
                    raise InputError(f"row {number}: {error}") from None


def _check_size(own: DecodingSettings, params: Mapping[str, Any]) -> None:
    asked = params_of(own)
    for name, most in MOST.items():
        bound, value = max(most, asked.get(name, 0)), params.get(name)
        # What is no number is refused with the other settings.
        if isinstance(value, int | float) and value > bound:
            raise InputError(f"params.{name}: must be at most {bound} in a request, found {value}")


def _check_lengths(records: Sequence[Mapping[str, object]]) -> None:
    for number, record in enumerate(records, start=1):
        for field, text in record.items():
            if isinstance(text, str) and len(text) > MOST_CHARACTERS:
                bound = f"{MOST_CHARACTERS:,} at most in a request"
                raise InputError(f"row {number}: {field}: has {len(text):,} characters; {bound}")


def _load_pyfunc(data_path: str) -> ServedModel:
    return ServedModel(open_applier(Path(data_path)))

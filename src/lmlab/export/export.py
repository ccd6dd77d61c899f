"""The stage export: writes every artifact, asks it in a fresh process whether it answers as the model does."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lmlab.bundle import WEIGHTS_NAME, Bundle, load_bundle
from lmlab.data.store import TokenStore, check_tokens
from lmlab.errors import InputError
from lmlab.export.card import Form, example_text, model_card
from lmlab.export.exporter import Exporter
from lmlab.export.exporters import EXPORTERS
from lmlab.export.exporters.bundle import OwnModel
from lmlab.export.parity import Asked, Parity, ask, ask_in_fresh_process, compare
from lmlab.export.settings import ExportSettings as ExportSection
from lmlab.files import file_digest, folder_files, read_json, whole_folder, write_json, write_seal
from lmlab.run import Run

log = logging.getLogger("lmlab")

CARD_NAME = "README.md"


class ExportSettings(NamedTuple):
    """The sections that the stage reads."""

    export: ExportSection


class ExportInputs(NamedTuple):
    """The bundle, the tokens to ask with, and the reports that the model card tells of."""

    bundle: Path
    tokens: Path
    cleaning: Path
    encoding: Path
    evaluation: Path


class ExportOutputs(NamedTuple):
    """The folder with one folder for each artifact, and the report."""

    export: Path
    export_report: Path


def export(settings: ExportSettings, inputs: ExportInputs, outputs: ExportOutputs, run: Run) -> dict:
    """Write the artifacts and the report, which it returns.

    Raises: InputError if an artifact does not answer as the model does.
    """
    section = settings.export
    bundle = load_bundle(inputs.bundle)
    exporters = _exporters(bundle, section)
    reports = {
        "cleaning": read_json(inputs.cleaning),
        "encoding": read_json(inputs.encoding),
        "evaluation": read_json(inputs.evaluation),
    }
    prompts = _prompts(inputs, bundle, section)
    greedy_tokens = _within(bundle.model.context_length, section.parity.greedy_tokens)
    expected = ask(OwnModel(bundle.model), prompts, greedy_tokens=greedy_tokens)
    weights = file_digest(inputs.bundle / WEIGHTS_NAME)
    artifacts: list[dict] = []
    report = {"num_prompts": len(prompts), "greedy_tokens": greedy_tokens, "artifacts": artifacts}
    with whole_folder(outputs.export) as folder:
        for name, exporter in exporters.items():
            (folder / name).mkdir()
            exporter.write(inputs.bundle, folder / name)
            asked = ask_in_fresh_process(name, folder / name, prompts, greedy_tokens=greedy_tokens)
            artifacts.append(
                _checked(
                    name, folder / name, compare(expected, asked.answers, prompts), section, is_exact=exporter.is_exact
                )
            )
            usage = exporter.usage(bundle, example_text(reports["evaluation"]["details"]))
            form = Form(exporter.library, _sentence(artifacts[-1], report), usage, weights)
            (folder / name / CARD_NAME).write_text(model_card(bundle.config, **reports, form=form), encoding="utf-8")
            _tell(run, artifacts[-1], asked)
        write_seal(folder, {"stage": "export"})
    write_json(outputs.export_report, report)
    return report


def _exporters(bundle: Bundle, section: ExportSection) -> dict[str, Exporter]:
    """The forms to write: those asked for, or every exact one that the model can take.

    Raises: InputError if one is asked for that the model cannot take.
    """
    exporters = {name: EXPORTERS.get(name).build() for name in section.artifacts or EXPORTERS.names()}
    refusals = {name: exporter.refusal(bundle) for name, exporter in exporters.items()}
    for name, why in refusals.items():
        if why is not None and section.artifacts is not None:
            raise InputError(f"export.artifacts: {name} {why}: leave {name} out")
        if why is not None:
            log.info("%s is left out: it %s", name, why)
    return {
        name: exporter
        for name, exporter in exporters.items()
        if refusals[name] is None and (exporter.is_exact or section.artifacts is not None)
    }


def _sentence(artifact: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """How closely an artifact answers as the model does."""
    largest, same = artifact["largest_difference"], artifact["same_greedy_tokens"]
    found = (
        f"Loaded again in a fresh process and asked {report['num_prompts']} prompts of the test split, its logits "
        f"differ from the model's by at most {largest:.1e}, and {same} of them go on with the same "
        f"{report['greedy_tokens']} tokens"
    )
    if artifact["is_exact"]:
        return f"{found}."
    return f"{found}; it gives the prompts' own tokens {artifact['nats_lost']:+.4f} nats a token (more is worse)."


def _tell(run: Run, artifact: Mapping[str, Any], asked: Asked) -> None:
    """Sizes and speeds, which differ from machine to machine and day to day: for the log and the run alone."""
    name, megabytes = artifact["name"], artifact["bytes"] / 1e6
    log.info(
        "exported %s: %.1f MB, loads in %.1f s, %.0f tokens/s",
        name,
        megabytes,
        asked.load_seconds,
        asked.tokens_per_second,
    )
    values = {
        f"export/{name}_megabytes": megabytes,
        f"export/{name}_load_seconds": asked.load_seconds,
        f"export/{name}_tokens_per_second": asked.tokens_per_second,
    }
    run.log_metrics(values, step=0)


def _prompts(inputs: ExportInputs, bundle: Bundle, section: ExportSection) -> list[list[int]]:
    """The separator and the first tokens of test records spread evenly over the split.

    Prompt and answer stay within the model's context: beyond it each software goes on in its own way.
    """
    separator_id = check_tokens(inputs.tokens)["separator_id"]
    store = TokenStore.open(inputs.tokens, "test")
    count = min(section.parity.num_prompts, store.num_records)
    chosen = [index * store.num_records // count for index in range(count)]
    bound = bundle.model.context_length
    # The last token of an answer is not read.
    room = None if bound is None else bound - _within(bound, section.parity.greedy_tokens) + 1
    prompts = [[separator_id, *store.record(index)[: section.parity.prompt_tokens].tolist()] for index in chosen]
    return [prompt[:room] for prompt in prompts]


def _within(bound: int | None, greedy_tokens: int) -> int:
    """As many tokens as are asked for, or half of what the model reads at once."""
    return greedy_tokens if bound is None else min(greedy_tokens, max(1, bound // 2))


def _checked(name: str, folder: Path, parity: Parity, section: ExportSection, *, is_exact: bool) -> dict:
    """The report's entry of an artifact.

    Raises: InputError if it must answer as the model does, and does not.
    """
    misses = parity.largest_difference > section.parity.largest_difference or not parity.all_same
    if is_exact and misses:
        raise InputError(
            f"the artifact {name} does not answer as the model does: logits differ by up to "
            f"{parity.largest_difference:.2g} (allowed: {section.parity.largest_difference:g}) and "
            f"{parity.same_greedy_prompts} of {parity.num_prompts} prompts get the same greedy tokens"
        )
    files = folder_files(folder)
    return {
        "name": name,
        "files": [path.relative_to(folder).as_posix() for path in files],
        "bytes": sum(path.stat().st_size for path in files),
        "is_exact": is_exact,
        "largest_difference": parity.largest_difference,
        "same_greedy_tokens": parity.same_greedy_prompts,
        "nats_lost": parity.nats_lost,
    }

"""The stage export: writes every artifact, asks it in a fresh process whether it answers as the model does."""

import logging
from pathlib import Path
from typing import NamedTuple

from lmlab.bundle import load_bundle
from lmlab.data.store import TokenStore
from lmlab.errors import InputError
from lmlab.export.card import model_card
from lmlab.export.exporter import Answer
from lmlab.export.exporters import EXPORTERS
from lmlab.export.parity import answers_in_fresh_process, compare
from lmlab.export.settings import ExportSettings as ExportSection
from lmlab.files import check_seal, folder_files, read_json, whole_folder, write_json, write_seal
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


def export(settings: ExportSettings, inputs: ExportInputs, outputs: ExportOutputs, run: Run) -> dict:  # noqa: ARG001
    """Write the artifacts and the report, which it returns.

    Raises: InputError if an artifact does not answer as the model does.
    """
    section = settings.export
    check_seal(inputs.bundle)
    card = model_card(
        read_json(inputs.bundle / "config.json"),
        cleaning=read_json(inputs.cleaning),
        encoding=read_json(inputs.encoding),
        evaluation=read_json(inputs.evaluation),
    )
    prompts = _prompts(inputs, section)
    expected = (
        EXPORTERS.get("bundle").build().answer(inputs.bundle, prompts, greedy_tokens=section.parity.greedy_tokens)
    )
    artifacts = []
    with whole_folder(outputs.export) as folder:
        for name in section.artifacts:
            log.info("exporting %s", name)
            (folder / name).mkdir()
            EXPORTERS.get(name).build().write(inputs.bundle, folder / name)
            (folder / name / CARD_NAME).write_text(card, encoding="utf-8")
            artifacts.append(_checked(name, folder / name, prompts, expected, section))
        write_seal(folder, {"stage": "export"})
    report = {"num_prompts": len(prompts), "greedy_tokens": section.parity.greedy_tokens, "artifacts": artifacts}
    write_json(outputs.export_report, report)
    return report


def _prompts(inputs: ExportInputs, section: ExportSection) -> list[list[int]]:
    """The separator and the first tokens of test records spread evenly over the split, within the model's context."""
    separator_id = check_seal(inputs.tokens)["separator_id"]
    store = TokenStore.open(inputs.tokens, "test")
    count = min(section.parity.num_prompts, store.num_records)
    chosen = [index * store.num_records // count for index in range(count)]
    bound = load_bundle(inputs.bundle).model.context_length
    prompts = [[separator_id, *store.record(index)[: section.parity.prompt_tokens].tolist()] for index in chosen]
    return [prompt[:bound] for prompt in prompts]


def _checked(name: str, folder: Path, prompts: list[list[int]], expected: list[Answer], section: ExportSection) -> dict:
    found = answers_in_fresh_process(name, folder, prompts, greedy_tokens=section.parity.greedy_tokens)
    parity = compare(expected, found)
    if parity.largest_difference > section.parity.largest_difference or parity.same_greedy_prompts < len(prompts):
        raise InputError(
            f"the artifact {name} does not answer as the model does: logits differ by up to "
            f"{parity.largest_difference:.2g} (allowed: {section.parity.largest_difference:g}) and "
            f"{parity.same_greedy_prompts} of {len(prompts)} prompts get the same greedy tokens"
        )
    files = folder_files(folder)
    return {
        "name": name,
        "files": [path.name for path in files],
        "bytes": sum(path.stat().st_size for path in files),
        "largest_difference": parity.largest_difference,
        "same_greedy_tokens": parity.same_greedy_prompts,
    }

"""The stage train: from tokens to a bundle, resuming by itself where an earlier try was killed."""

import logging
import math
import shutil
import warnings
from pathlib import Path
from typing import NamedTuple

import torch
from filelock import FileLock, Timeout

from lmlab.bundle import build_model, save_bundle
from lmlab.config import PartSettings
from lmlab.data.batches import Plan, TextPlan, Validation, validation_text
from lmlab.data.example_batches import ExamplePlan, validation_examples
from lmlab.data.store import TokenStore
from lmlab.data.task import LearnedTask
from lmlab.data.tokenizer import Tokenizer
from lmlab.errors import InputError
from lmlab.files import check_seal, read_seal, whole_folder, write_json
from lmlab.gpu import forget_peak_gpu_memory, peak_gpu_memory_megabytes, uses_gpu
from lmlab.memory import forget_peak_memory, keep_freed_memory, peak_memory_megabytes
from lmlab.models.architectures.language_model import LanguageModel
from lmlab.run import Run
from lmlab.runtime import RuntimeSettings
from lmlab.training.callbacks import Bar, KeepBest, Resume, ShareOfPeak
from lmlab.training.checkpoint import FILE_NAME, read_best
from lmlab.training.learner import Learner, Watcher
from lmlab.training.lightning import PossibleUserWarning, pl
from lmlab.training.processes import World, check_loaders, leave_group, started_processes
from lmlab.training.progress import write_history
from lmlab.training.settings import TrainingSettings
from lmlab.training.speed import Speed
from lmlab.training.start import check_origin, load_start
from lmlab.training.strategy import strategy_of

log = logging.getLogger("lmlab")


class TrainSettings(NamedTuple):
    """The sections that the stage reads; `runtime` is not tracked."""

    seed: int
    model: PartSettings
    training: TrainingSettings
    runtime: RuntimeSettings


class TrainInputs(NamedTuple):
    """The folders that the stage encode wrote."""

    tokens: Path
    tokenizer: Path


class TrainOutputs(NamedTuple):
    """The bundle's folder, the curves, the report, and where resume checkpoints live meanwhile."""

    bundle: Path
    history: Path
    training: Path
    checkpoints: Path


class _Data(NamedTuple):
    """What the stage encode wrote, as training reads it."""

    tokenizer: Tokenizer
    source: str
    plan: Plan
    validation: Validation
    task: LearnedTask
    context_length: int
    target_share: float
    """Of the training tokens."""


def train(settings: TrainSettings, inputs: TrainInputs, outputs: TrainOutputs, run: Run) -> dict:
    """Train, write bundle, curves and report, and return the report.

    Where torchrun has started several processes, all but the first only train along, and return nothing.
    """
    if World.of_environment().rank:
        join_training(settings, inputs, outputs.checkpoints)
        return {}
    on_gpu = uses_gpu(settings.runtime)
    data = _open_data(settings, inputs, World.of_environment())
    outputs.checkpoints.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(outputs.checkpoints.with_suffix(".lock"), timeout=0):
            with started_processes(settings.runtime, _task(settings, inputs, outputs.checkpoints)) as world:
                speed = Speed(run)
                learner, started_from = _learner(settings, data, world, speed)
                if not settings.training.num_steps and started_from is None:
                    log.warning("training.max_steps=0: the weights stay as they were drawn")
                share = ShareOfPeak(speed, learner, settings.training, target_share=data.target_share)
                forget_peak_memory()
                forget_peak_gpu_memory()
                keep_freed_memory()
                seconds = _fit(learner, settings, outputs.checkpoints, [Bar(learner, settings.training), share])
            costs = {"seconds/train": seconds, "memory/train_megabytes": peak_memory_megabytes()}
            if on_gpu:
                costs["memory/train_gpu_megabytes"] = peak_gpu_memory_megabytes()
            run.log_metrics(costs, step=learner.progress.step)
            report = _write(learner, settings, outputs, data, started_from)
            # First what would be gone on from: without it a kill between the two costs a training anew, and no more.
            (outputs.checkpoints / FILE_NAME).unlink(missing_ok=True)
            shutil.rmtree(outputs.checkpoints)
    except Timeout:
        raise InputError(f"another process trains in {outputs.checkpoints}: wait for it or stop it") from None
    return report


def join_training(settings: TrainSettings, inputs: TrainInputs, checkpoints: Path) -> None:
    """Train along as another process than the first; nothing is written."""
    world = World.of_environment()
    data = _open_data(settings, inputs, world)
    learner, _ = _learner(settings, data, world, lambda *_: None)
    keep_freed_memory()
    _fit(learner, settings, checkpoints, [])
    leave_group()


def _task(settings: TrainSettings, inputs: TrainInputs, checkpoints: Path) -> dict:
    """What `other_process` needs to train along."""
    sections = {name: getattr(settings, name).model_dump() for name in ("model", "training", "runtime")}
    places = {"tokens": inputs.tokens, "tokenizer": inputs.tokenizer, "checkpoints": checkpoints}
    return {"seed": settings.seed, **sections, **{name: str(path) for name, path in places.items()}}


def _open_data(settings: TrainSettings, inputs: TrainInputs, world: World) -> _Data:
    # One process of each machine reads all tokens to compare them with their digests.
    facts_of = check_seal if world.local_rank == 0 else read_seal
    facts = facts_of(inputs.tokens)
    facts_of(inputs.tokenizer)
    tokenizer, training = Tokenizer.load(inputs.tokenizer), settings.training
    store, validation_store = (TokenStore.open(inputs.tokens, split) for split in ("train", "validation"))
    batches = _batches_of_examples if store.has_prompts else _batches_of_text
    plan, validation = batches(
        store, validation_store, training, separator_id=tokenizer.separator_id, seed=settings.seed
    )
    context_length = facts["context_length"] or training.sequence_length
    task = LearnedTask.model_validate(facts["task"])
    target_share = 1 - float(store.prompt_lengths.sum(dtype="int64")) / len(store.tokens)
    return _Data(tokenizer, facts["source"], plan, validation, task, context_length, target_share)


def _batches_of_text(
    store: TokenStore, validation_store: TokenStore, training: TrainingSettings, *, separator_id: int, seed: int
) -> tuple[Plan, Validation]:
    rows, time = training.batch_rows, training.sequence_length
    plan = TextPlan(store, rows=rows, time=time, contiguous=training.carry_state, seed=seed)
    limit = training.validation_tokens
    return plan, validation_text(validation_store, max_tokens=limit, lanes=rows, time=time, separator_id=separator_id)


def _batches_of_examples(
    store: TokenStore, validation_store: TokenStore, training: TrainingSettings, *, separator_id: int, seed: int
) -> tuple[Plan, Validation]:
    size, limit = training.tokens_per_step, training.validation_tokens
    plan = ExamplePlan(store, batch_tokens=size, separator_id=separator_id, seed=seed)
    return plan, validation_examples(validation_store, max_tokens=limit, batch_tokens=size, separator_id=separator_id)


def _learner(settings: TrainSettings, data: _Data, world: World, watch: Watcher) -> tuple[Learner, str | None]:
    """The learner at its start, and the digest of the weights that it starts from, if not from fresh ones."""
    check_loaders(settings.runtime)
    torch.set_num_threads(settings.runtime.threads or max(1, torch.get_num_threads() // world.local_size))
    torch.manual_seed(settings.seed)
    model = _build(settings, data)
    if model.context_length is not None and data.plan.carries_state:
        raise InputError("training.carry_state: this model reads a bounded context and cannot carry its state: false")
    if settings.training.compile and not model.compiles:
        raise InputError("training.compile: torch.compile would unroll this model's layers over the time: false")
    if world.size > 1 and settings.training.compile and settings.runtime.strategy == "fsdp":
        raise InputError("training.compile: a model in shards is not compiled: false, or runtime.strategy=ddp")
    if not data.task.prompt and settings.training.batch_rows % world.size:
        raise InputError(
            f"training.batch_rows: {settings.training.batch_rows} rows cannot be shared out evenly among {world.size} "
            f"processes: a multiple of {world.size}"
        )
    if model.needs_prompts and not data.task.prompt:
        raise InputError(
            f"task.name: {data.task.name} has no prompt, and this model answers prompts: choose a task with one, "
            "such as task=translation, or a causal model"
        )
    started_from = None if model.origin is None else check_origin(model.origin, model, data.tokenizer)
    if settings.training.start_from is not None:
        started_from = load_start(model, Path(settings.training.start_from), settings.model, data.tokenizer)
    learner = Learner(
        model,
        settings.training,
        plan=data.plan,
        validation=data.validation,
        runtime=settings.runtime,
        seed=settings.seed,
        watch=watch,
        world=world,
    )
    return learner, started_from


def _build(settings: TrainSettings, data: _Data) -> LanguageModel:
    return build_model(
        settings.model.model_dump(),
        vocabulary_size=data.tokenizer.vocabulary_size,
        context_length=data.context_length,
        path="model",
    )


def _fit(learner: Learner, settings: TrainSettings, checkpoints: Path, shown: list[pl.Callback]) -> float:
    """Train to the end; the wall time of it in seconds."""
    training, runtime = settings.training, settings.runtime
    resume = Resume(learner, checkpoints, training, every_seconds=runtime.checkpoint_every_seconds)
    # Order matters: the best weights are on disk before a checkpoint says so.
    callbacks = [KeepBest(learner, checkpoints, training), resume, *shown]
    trainer = build_trainer(training, runtime, learner.world, folder=checkpoints, callbacks=callbacks)
    try:
        if training.num_steps:
            trainer.fit(learner)
        else:
            trainer.validate(learner, verbose=False)
    except SystemExit as end:
        # What Lightning makes of Ctrl-C.
        if learner.world.rank or not isinstance(end.__context__, KeyboardInterrupt):
            raise
        goes_on = f"goes on after step {resume.written_step}" if resume.written_step else "begins anew"
        raise KeyboardInterrupt(f"interrupted after step {learner.progress.step}: the same command {goes_on}") from None
    if not math.isfinite(learner.progress.best_nats_per_token):
        raise InputError("no validation gave a number: the weights that training began with may be damaged")
    return resume.seconds


def build_trainer(
    training: TrainingSettings, runtime: RuntimeSettings, world: World, *, folder: Path, callbacks: list[pl.Callback]
) -> pl.Trainer:
    """Lightning's Trainer, of whose epochs each is the stretch from one validation to the next."""
    # What Lightning would say of devices and of its own tips is not about this training.
    for library in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(library).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=PossibleUserWarning)
    # It is where all steps were done before, and only the writing is left.
    warnings.filterwarnings("ignore", message="Total length of .* across ranks is zero")
    # Deterministic algorithms would write zeros to all new memory first, a pass more.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    # cuDNN's attention has a backward pass that rounds otherwise each time.
    torch.backends.cuda.enable_cudnn_sdp(False)
    return pl.Trainer(
        accelerator="cuda" if uses_gpu(runtime) else "cpu",
        devices=world.local_size,
        num_nodes=world.size // world.local_size,
        strategy=strategy_of(runtime, world),
        precision=training.precision,
        max_epochs=-1,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        deterministic=True,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=callbacks,
    )


def _write(
    learner: Learner, settings: TrainSettings, outputs: TrainOutputs, data: _Data, started_from: str | None
) -> dict:
    model = _build(settings, data)
    model.load_state_dict(read_best(outputs.checkpoints))
    report = {**_report(model, learner, settings), "started_from": started_from}
    facts = {
        "source": data.source,
        "seed": settings.seed,
        "training": report,
    }
    with whole_folder(outputs.bundle) as folder:
        save_bundle(
            folder,
            model,
            data.tokenizer,
            settings=settings.model.model_dump(),
            context_length=data.context_length,
            task=data.task,
            facts=facts,
        )
    write_history(outputs.history, learner.progress.history)
    write_json(outputs.training, report)
    return report


def _report(model: LanguageModel, learner: Learner, settings: TrainSettings) -> dict:
    progress = learner.progress
    return {
        "model": settings.model.name,
        "parameters": model.num_parameters(),
        "embedding_parameters": sum(weight.numel() for weight in model.embedding_parameters()),
        "steps": progress.step,
        "tokens": learner.plan.tokens_before(progress.step),
        "padding_share": learner.plan.padding_share(),
        "best_step": progress.best_step,
        "validation_nats_per_token": progress.best_nats_per_token,
        "validation_bits_per_byte": progress.best_bits_per_byte,
        "stopped_by": progress.stopped_by or "budget",
    }

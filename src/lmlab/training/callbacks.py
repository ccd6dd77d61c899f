"""What happens beside the steps: resume checkpoints, the best weights, early stop, the progress bar."""

import logging
import math
import time
from pathlib import Path

import torch
from tqdm import tqdm

from lmlab.training.checkpoint import read_best, read_checkpoint, write_best, write_checkpoint
from lmlab.training.learner import Learner
from lmlab.training.lightning import pl
from lmlab.training.processes import load_optimizer, load_weights, whole
from lmlab.training.settings import TrainingSettings
from lmlab.training.speed import Speed, peak_operations_per_second

log = logging.getLogger("lmlab")


class Resume(pl.Callback):
    """Writes resume checkpoints by the clock, between steps only, and begins from the last one."""

    def __init__(self, learner: Learner, folder: Path, settings: TrainingSettings, *, every_seconds: float) -> None:
        self._learner, self._folder, self._settings = learner, folder, settings
        self._every_seconds = every_seconds
        self._written_at = self._started_at = time.monotonic()
        self._seconds_before = 0.0
        self.written_step = 0
        """What a training that starts again goes on after; 0 where it begins anew."""

    @property
    def seconds(self) -> float:
        """Wall time of the training so far, that of the tries that were interrupted up to their last checkpoint."""
        return self._seconds_before + time.monotonic() - self._started_at

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the learner where the folder's checkpoint left off, if there is one."""
        learner = self._learner
        content = learner.world.agree(self._read() if learner.world.rank == 0 else None)
        if content is None:
            return
        load_weights(learner.model, content["model"])
        for optimizer, state in zip(learner.built_optimizers, content["optimizers"], strict=True):
            load_optimizer(optimizer, state)
        if content["carried"] is not None:
            learner.carried = tuple(tensor[learner.world.part(len(tensor))] for tensor in content["carried"])
        for name, value in content["progress"].items():
            setattr(learner.progress, name, value)
        self._seconds_before = content["seconds"]
        self.written_step = learner.progress.step
        if learner.progress.step < self._settings.num_steps and not learner.progress.stopped_by:
            log.info("resuming after step %d of %d", learner.progress.step, self._settings.num_steps)

    def _read(self) -> dict | None:
        content = read_checkpoint(self._folder)
        if content is not None and math.isfinite(content["progress"]["best_nats_per_token"]):
            # Damage shows now, and not after all the steps that are left.
            read_best(self._folder)
        return content

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Write where it is due; a step that ends a stretch waits for its validation."""
        step = self._learner.progress.step
        if step % self._settings.validate_every_steps and step < self._settings.num_steps:
            self._write_if_due()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write after the validation, and end where the budget does."""
        self._write_if_due()
        if self._learner.progress.step >= self._settings.num_steps:
            trainer.should_stop = True

    def _write_if_due(self) -> None:
        learner = self._learner
        world = learner.world
        if world.size > 1 and learner.progress.step % self._settings.log_every_steps:
            # To ask the clock of rank 0 costs all processes a wait.
            return
        if not world.agree(time.monotonic() - self._written_at >= self._every_seconds):
            return
        learner.see_losses()
        content = {
            "model": whole(learner.model.state_dict()),
            "optimizers": [whole(optimizer.state_dict()) for optimizer in learner.built_optimizers],
            "carried": None if learner.carried is None else world.gather_rows(learner.carried),
            "progress": learner.progress.as_dict(),
            "seconds": self.seconds,
        }
        if world.rank == 0:
            write_checkpoint(self._folder, content)
        self._written_at, self.written_step = time.monotonic(), learner.progress.step


class KeepBest(pl.Callback):
    """Keeps the weights of the best validation, and ends a training that no longer gets better."""

    def __init__(self, learner: Learner, folder: Path, settings: TrainingSettings) -> None:
        self._learner, self._folder = learner, folder
        self._patience = settings.early_stop_validations

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Runs before the resume checkpoint of the same step, which relies on the file."""
        progress = self._learner.progress
        if progress.validations_without_best == 0:
            weights = whole(self._learner.model.state_dict())
            if self._learner.world.rank == 0:
                write_best(self._folder, weights)
        if self._patience is not None and progress.validations_without_best >= self._patience:
            progress.stopped_by = "early stop"
            trainer.should_stop = True


SECONDS_BETWEEN_LINES = 30.0
"""Of a training that nobody looks at, between its validations."""


class Bar(pl.Callback):
    """A line with steps, loss and tokens a second where somebody looks, else one line a validation or half a minute."""

    def __init__(self, learner: Learner, settings: TrainingSettings) -> None:
        self._learner, self._settings = learner, settings
        self._bar: tqdm | None = None
        self._said_at = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar from the present step on."""
        self._bar = tqdm(
            total=self._learner.plan.tokens_before(self._settings.num_steps),
            initial=self._learner.plan.tokens_before(self._learner.progress.step),
            unit="tok",
            unit_scale=True,
            desc="train",
            disable=None,
            mininterval=0.5,
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Move on by a step."""
        if self._bar is not None and not self._bar.disable:
            best = self._learner.progress.best_bits_per_byte
            self._bar.set_postfix_str(f"loss {self._learner.last_nats:.3f}, best {best:.3f} bits/byte", refresh=False)
            self._bar.update(self._learner.plan.tokens_before(self._learner.progress.step) - self._bar.n)
        elif time.monotonic() - self._said_at > SECONDS_BETWEEN_LINES:
            log.info("step %d of %d", self._learner.progress.step, self._settings.num_steps)
            self._said_at = time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say how far the training is where no bar does."""
        if self._bar is not None and self._bar.disable:
            progress = self._learner.progress
            log.info(
                "step %d of %d: %.3f bits per byte on validation, best %.3f at step %d",
                progress.step,
                self._settings.num_steps,
                progress.history[-1]["validation_bits_per_byte"],
                progress.best_bits_per_byte,
                progress.best_step,
            )
            self._said_at = time.monotonic()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Leave the line as it is."""
        if self._bar is not None:
            self._bar.close()


class ShareOfPeak(pl.Callback):
    """Measures the machine, once it is known which device trains, and tells what the speed is measured against."""

    def __init__(self, speed: Speed, learner: Learner, settings: TrainingSettings, *, target_share: float) -> None:
        self._speed, self._learner, self._settings, self._target_share = speed, learner, settings, target_share

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Before the first step."""
        tokens = self._settings.tokens_per_step
        operations = self._learner.model.training_operations(
            tokens=tokens, targets=round(tokens * self._target_share), length=self._settings.sequence_length
        )
        if math.isnan(operations):
            return
        precision = torch.bfloat16 if self._settings.precision == "bf16-mixed" else torch.float32
        peak = peak_operations_per_second(pl_module.device, precision)
        self._speed.peak_tokens_per_second = self._learner.world.size * peak * tokens / operations

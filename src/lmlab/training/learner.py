"""The training step and the validation step, as Lightning drives them."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from lmlab.data.batches import IGNORED, Batch, Plan, Validation
from lmlab.errors import InputError
from lmlab.models.architectures.language_model import LanguageModel, State, detach, select_rows
from lmlab.runtime import RuntimeSettings
from lmlab.text import digest_of
from lmlab.training.lightning import pl, strategies
from lmlab.training.optimizers import build_optimizers, set_learning_rates
from lmlab.training.processes import World, shard
from lmlab.training.progress import Progress
from lmlab.training.schedule import learning_rate_share
from lmlab.training.settings import TrainingSettings

Watcher = Callable[[dict[str, float], int], None]


class Rows(NamedTuple):
    """A batch as tensors."""

    inputs: Tensor
    targets: Tensor
    num_targets: int
    """How many targets of all processes' rows count; a number, so that a GPU need not be asked."""
    all_count: bool
    """Whether all of these targets count."""
    goes_on: bool


class PlannedBatches(Dataset):
    """Batches by number; any number of loader processes gives the same ones in the same order."""

    def __init__(self, plan: Plan, world: World) -> None:
        self._plan, self._world = plan, world

    def __getitem__(self, number: int) -> Rows:
        """The rows of batch number `number` that are this process's."""
        return as_rows(self._plan.batch(number), self._world)


def as_rows(batch: Batch, world: World) -> Rows:
    """The rows of the batch that are this process's, as tensors that share its memory."""
    counts = batch.targets != IGNORED
    part = world.part(len(counts))
    inputs, targets, all_count = batch.inputs[part], batch.targets[part], bool(counts[part].all())
    if len(inputs) < -(-len(counts) // world.size):
        # All take part in every sum, as often as the one with the most rows: a row is read along without a say.
        inputs = np.concatenate([inputs, batch.inputs[:1]])
        targets = np.concatenate([targets, np.full_like(batch.targets[:1], IGNORED)])
        all_count = False
    return Rows(torch.from_numpy(inputs), torch.from_numpy(targets), int(counts.sum()), all_count, batch.goes_on)


class Learner(pl.LightningModule):
    """One optimizer step a batch; a Lightning epoch is the stretch between two validations.

    Lightning asks for a new loader at each epoch, and gets the batches from the present step to the next
    validation: so a resumed training meets its validations at the same steps as an undisturbed one.
    """

    def __init__(
        self,
        model: LanguageModel,
        settings: TrainingSettings,
        *,
        plan: Plan,
        validation: Validation,
        runtime: RuntimeSettings,
        seed: int,
        watch: Watcher,
        world: World = World(),  # noqa: B008  an immutable value
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.progress = Progress()
        self.carried: State | None = None
        self.last_nats = math.nan
        self._unseen: list[Tensor] = []
        self._settings, self._runtime = settings, runtime
        self.plan, self._validation = plan, validation
        self._seed, self._watch = seed, watch
        self.world = world
        self.built_optimizers: list[Optimizer] = []
        self._read_and_sum = read_and_sum
        self._validation_state: State | None = None
        self._validation_nats = 0.0
        self._validation_tokens = 0

    def configure_model(self) -> None:
        """Shard where that is wanted, and compile."""
        if self.world.size > 1 and self._runtime.strategy == "fsdp":
            assert self.device_mesh is not None
            shard(self.model, self.device_mesh["data_parallel"])
        if self._settings.compile:
            self._read_and_sum = torch.compile(read_and_sum)

    def configure_optimizers(self) -> list[Optimizer]:
        """The optimizers of the weights where they are now; their learning rates are set at each step."""
        self.built_optimizers = build_optimizers(self.model, self._settings)
        return self.built_optimizers

    def train_dataloader(self) -> DataLoader:
        """The batches from the present step to the next validation; none where the training had ended early before."""
        every = self._settings.validate_every_steps
        end = min(self._settings.num_steps, (self.progress.step // every + 1) * every)
        if self.progress.stopped_by:
            end = self.progress.step
        return DataLoader(
            PlannedBatches(self.plan, self.world),
            sampler=range(self.progress.step, end),
            batch_size=None,
            num_workers=self._runtime.workers,
            pin_memory=self.device.type == "cuda",
        )

    def val_dataloader(self) -> DataLoader:
        """The validation batches, in their order."""
        rows = [as_rows(batch, self.world) for batch in self._validation.batches]
        return DataLoader(rows, batch_size=None)  # type: ignore[arg-type]

    def training_step(self, rows: Rows, _batch_index: int) -> None:
        """One optimizer step.

        Raises: InputError if the loss is not finite.
        """
        step = self.progress.step
        # All randomness of a step (dropout) hangs on its number alone: nothing of it needs to be saved.
        of_process = [self.world.rank] if self.world.rank else []
        torch.manual_seed(int(digest_of([self._seed, "step", step, *of_process])[:15], 16))
        share = learning_rate_share(step, self._settings)
        set_learning_rates(self.built_optimizers, share)
        self._unseen.append(self._backward(rows))
        if self._settings.gradient_clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._settings.gradient_clip_norm)
        for optimizer in self.built_optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.progress.step += 1
        done = self.progress.step
        is_logged = done % self._settings.log_every_steps == 0 or done == self._settings.num_steps
        if is_logged or self.device.type == "cpu":
            self.see_losses()
        if is_logged:
            self._log(learning_rate=self._settings.learning_rate * share)

    def _backward(self, rows: Rows) -> Float[Tensor, ""]:
        """Add up the gradients of all parts; this process's share of the mean loss in nats a token."""
        size = -(-len(rows.inputs) // self._settings.accumulate)
        # Gradients are averaged over the processes, which share one batch: here they count as often as there are some.
        divisor = rows.num_targets / self.world.size
        nats, states = torch.zeros((), dtype=torch.float64, device=rows.inputs.device), []
        for begin in range(0, len(rows.inputs), size):
            chosen = slice(begin, begin + size)
            before = select_rows(self.carried, chosen) if rows.goes_on and self.carried is not None else None
            summed, after = self._read_and_sum(
                self.model,
                rows.inputs[chosen],
                rows.targets[chosen],
                before,
                all_count=rows.all_count,
                carries_state=self.plan.carries_state,
            )
            with self._sums_over_processes(begin + size >= len(rows.inputs)):
                self.manual_backward(summed / divisor)
            nats += summed.detach() / rows.num_targets
            if self.plan.carries_state:
                states.append(detach(after))
        if states:
            self.carried = tuple(torch.cat(tensors) for tensors in zip(*states, strict=True))
        return nats

    @contextmanager
    def _sums_over_processes(self, is_last: bool) -> Iterator[None]:
        """Let the processes sum their gradients once a step, with those of its last part."""
        strategy = self.trainer.strategy
        if is_last or not isinstance(strategy, strategies.DDPStrategy):
            yield
        else:
            with strategy.block_backward_sync():
                yield

    def see_losses(self) -> None:
        """Take in the losses since the last call; a GPU works ahead between two calls.

        Raises: InputError if one is not finite.
        """
        progress = self.progress
        losses = self.world.sum(torch.stack(self._unseen)).tolist() if self._unseen else []
        self._unseen.clear()
        for step, nats in enumerate(losses, start=progress.step - len(losses) + 1):
            if not math.isfinite(nats):
                raise InputError(
                    f"training step {step}: the loss is {nats}; lower training.learning_rate (now "
                    f"{self._settings.learning_rate:g}) or training.gradient_clip_norm, or raise training.warmup_steps"
                )
            progress.nats_since_log += nats
            progress.steps_since_log += 1
            self.last_nats = nats

    def _log(self, *, learning_rate: float) -> None:
        progress = self.progress
        mean = progress.nats_since_log / progress.steps_since_log
        tokens = self.plan.tokens_before(progress.step)
        values = {"tokens": tokens, "learning_rate": learning_rate, "train_nats_per_token": mean}
        progress.record(values)
        progress.nats_since_log, progress.steps_since_log = 0.0, 0
        self._watch(values, progress.step)

    def on_validation_epoch_start(self) -> None:
        """Begin to sum."""
        self.see_losses()
        self._validation_nats, self._validation_tokens, self._validation_state = 0.0, 0, None

    def validation_step(self, rows: Rows, _batch_index: int) -> None:
        """Add the chunk's nats and tokens."""
        state = self._validation_state if rows.goes_on and self.plan.carries_state else None
        summed, self._validation_state = read_and_sum(
            self.model,
            rows.inputs,
            rows.targets,
            state,
            all_count=rows.all_count,
            carries_state=self.plan.carries_state,
        )
        self._validation_nats += summed.item()
        self._validation_tokens += rows.num_targets

    def on_validation_epoch_end(self) -> None:
        """Divide once, and note whether this is the best so far."""
        progress = self.progress
        nats = self.world.sum(torch.tensor(self._validation_nats, dtype=torch.float64, device=self.device)).item()
        nats_per_token_now = nats / self._validation_tokens
        bits_per_byte = nats / math.log(2) / self._validation.num_bytes
        values = {
            "tokens": self.plan.tokens_before(progress.step),
            "validation_nats_per_token": nats_per_token_now,
            "validation_bits_per_byte": bits_per_byte,
        }
        progress.record(values)
        self._watch(values, progress.step)
        if nats_per_token_now < progress.best_nats_per_token:
            progress.best_nats_per_token, progress.best_step = nats_per_token_now, progress.step
            progress.best_bits_per_byte = bits_per_byte
            progress.validations_without_best = 0
        else:
            progress.validations_without_best += 1


def read_and_sum(
    model: LanguageModel,
    inputs: Int[Tensor, "batch time"],
    targets: Int[Tensor, "batch time"],
    before: State | None,
    *,
    all_count: bool,
    carries_state: bool,
) -> tuple[Float[Tensor, ""], State]:
    """Summed loss of the targets that count, in nats, and the state after the last input where it is carried on."""
    features, after = model.read(inputs, before)
    # A compiled program would have to write out what nobody reads.
    return summed_nats(model, features, targets, all_count=all_count), after if carries_state else ()


def summed_nats(
    model: LanguageModel,
    features: Float[Tensor, "batch time features"],
    targets: Int[Tensor, "batch time"],
    *,
    all_count: bool,
) -> Float[Tensor, ""]:
    """Summed loss of the targets that count."""
    features, targets = features.flatten(0, 1), targets.flatten()
    if not all_count:
        # Prompts and padding get no logits, which cost a small model as much as all its layers.
        counts = targets != IGNORED
        features, targets = features[counts], targets[counts]
    return functional.cross_entropy(model.logits(features).float(), targets, reduction="sum")

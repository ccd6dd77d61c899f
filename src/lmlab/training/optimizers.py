"""Optimizers: which parameters each one moves."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from lmlab.models.architectures.language_model import LanguageModel
from lmlab.training.processes import cut_as, entire
from lmlab.training.settings import AdamwSettings, MuonSettings, TrainingSettings

_LONG = 1.5
"""From this ratio of its sides on a matrix is orthogonalized by way of its products with itself, which is faster."""


def build_optimizers(model: LanguageModel, settings: TrainingSettings) -> list[Optimizer]:
    """Optimizers that together move each parameter once; each group remembers its full rate as `initial_lr`."""
    embeddings = {id(parameter) for parameter in model.embedding_parameters()}
    matrices = [weight for weight in model.parameters() if weight.ndim == 2 and id(weight) not in embeddings]
    chosen = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in chosen]
    if isinstance(settings.optimizer, MuonSettings):
        optimizers = _muon_and_adamw(matrices, others, settings.optimizer, learning_rate=settings.learning_rate)
    else:
        optimizers = _adamw(matrices, others, settings.optimizer, learning_rate=settings.learning_rate)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def set_learning_rates(optimizers: list[Optimizer], share: float) -> None:
    """Let every group take this share of its full learning rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * share


def _adamw(
    matrices: list[nn.Parameter], others: list[nn.Parameter], settings: AdamwSettings, *, learning_rate: float
) -> list[Optimizer]:
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [AdamW(groups, lr=learning_rate, betas=(settings.beta1, settings.beta2), fused=True)]


def _muon_and_adamw(
    matrices: list[nn.Parameter], others: list[nn.Parameter], settings: MuonSettings, *, learning_rate: float
) -> list[Optimizer]:
    muon = Float32Muon(
        matrices,
        lr=learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        ns_steps=settings.newton_schulz_steps,
    )
    adamw = AdamW(
        others,
        lr=learning_rate * settings.adamw_learning_rate_ratio,
        betas=(settings.beta1, settings.beta2),
        weight_decay=0.0,
        fused=True,
    )
    return [muon, adamw]


class Float32Muon(Muon):
    """torch's Muon, with its orthogonalization in float32 instead of bfloat16.

    A CPU without bfloat16 instructions takes many times as long for torch's, and rounding that coarse would make
    results differ between processors by more than their last digits.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step on every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group)

    def _move(self, weight: nn.Parameter, gradient: Tensor, group: dict) -> None:
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        average = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(average, group["momentum"])  # Nesterov
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        # Steps as large as AdamW's (Liu et al. 2025, Muon is scalable for LLM training, section 2.2).
        scale = 0.2 * max(weight.shape) ** 0.5
        # A shard of a matrix says nothing of its singular values.
        change = orthogonalized(entire(ahead), group["ns_coefficients"], group["ns_steps"])
        weight.add_(cut_as(weight, change), alpha=-group["lr"] * scale)


def orthogonalized(
    matrix: Float[Tensor, "rows columns"], coefficients: tuple[float, float, float], num_steps: int
) -> Float[Tensor, "rows columns"]:
    """About the nearest matrix whose singular values are all equal, by Newton-Schulz steps.

    Source: Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    result = matrix.T if is_tall else matrix
    result = result / result.norm().clamp(min=1e-7)
    short, long = result.shape
    if long > _LONG * short:
        result = _factor(result @ result.T, coefficients, num_steps) @ result
    else:
        linear, cubic, quintic = coefficients
        for _ in range(num_steps):
            gram = result @ result.T
            factor = torch.addmm(gram, gram, gram, beta=cubic, alpha=quintic)
            result = torch.addmm(result, factor, result, beta=linear)
    return result.T if is_tall else result


def _factor(
    gram: Float[Tensor, "short short"], coefficients: tuple[float, float, float], num_steps: int
) -> Float[Tensor, "short short"]:
    """What all steps together multiply a matrix with, from its products with itself: its long side is left out."""
    change = factor = _change(gram, coefficients)
    for _ in range(num_steps - 1):
        gram = change @ gram @ change  # All are polynomials of the first one, and commute.
        change = _change(gram, coefficients)
        factor = change @ factor
    return factor


def _change(gram: Tensor, coefficients: tuple[float, float, float]) -> Tensor:
    linear, cubic, quintic = coefficients
    change = torch.addmm(gram, gram, gram, beta=cubic, alpha=quintic)
    change.diagonal().add_(linear)
    return change

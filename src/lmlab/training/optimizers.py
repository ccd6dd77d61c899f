"""Optimizers: which parameters each one moves."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn, optim
from torch.optim import AdamW, Optimizer

from lmlab.models.architectures.language_model import LanguageModel
from lmlab.training.processes import cut_as, entire, is_sharded
from lmlab.training.settings import AdamwSettings, MuonSettings, TrainingSettings

_LONG = 1.5
"""From this ratio of its sides on a matrix is orthogonalized by way of its products with itself, which is faster."""

_STEPS_BY_PRODUCTS = {torch.bfloat16: 3, torch.float32: 6, torch.float64: 12}
"""How many steps may go that way. Each makes what rounding left of the small singular values, squared, 12 times as
large: with two steps more it outgrows the large ones."""

_LARGE = {"cuda": 1 << 22, "cpu": 1 << 16}
"""A matrix of more numbers keeps a device of this type busy by itself."""


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
    muon = Muon(
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


class Muon(optim.Muon):
    """torch's Muon, orthogonalized as each kind of device does it best, small matrices of one shape at once.

    On a CPU in the weights' own precision: one without bfloat16 instructions takes many times as long for torch's, and
    rounding that coarse would make results differ between processors by more than their last digits. On a GPU in
    bfloat16 as torch's. One by one, small matrices keep a GPU waiting for the next kernel, and a CPU's second core.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step on every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for weights in _together(weight for weight in group["params"] if weight.grad is not None):
                self._move(weights, [weight.grad for weight in weights if weight.grad is not None], group)

    def _move(self, weights: list[Tensor], gradients: list[Tensor], group: dict) -> None:
        """Move weights of one shape."""
        averages = []
        for weight in weights:
            state = self.state[weight]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(weight)
            averages.append(state["momentum_buffer"])
        torch._foreach_lerp_(averages, gradients, 1 - group["momentum"])  # type: ignore[attr-defined]
        ahead = torch._foreach_lerp(gradients, averages, group["momentum"])  # type: ignore[attr-defined]  # Nesterov
        if group["weight_decay"]:
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])  # type: ignore[attr-defined]
        # Steps as large as AdamW's (Liu et al. 2025, Muon is scalable for LLM training, section 2.2).
        scale = 0.2 * max(weights[0].shape) ** 0.5
        changes = _orthogonalized_each(ahead, group["ns_coefficients"], group["ns_steps"])
        cut = [cut_as(weight, change) for weight, change in zip(weights, changes, strict=True)]
        torch._foreach_add_(weights, cut, alpha=-group["lr"] * scale)  # type: ignore[attr-defined]


def _together(weights: Iterable[Tensor]) -> Iterable[list[Tensor]]:
    """The weights that move at once: small ones of one shape; large ones, and shards, each by itself."""
    by_shape: dict[object, list[Tensor]] = {}
    for weight in weights:
        is_alone = is_sharded(weight) or weight.numel() > _LARGE.get(weight.device.type, 0)
        by_shape.setdefault(id(weight) if is_alone else weight.shape, []).append(weight)
    return by_shape.values()


def _orthogonalized_each(
    matrices: Sequence[Tensor], coefficients: tuple[float, float, float], num_steps: int
) -> Sequence[Tensor]:
    # A shard of a matrix says nothing of its singular values.
    if len(matrices) == 1:
        whole = entire(matrices[0])
        return [orthogonalized(whole.to(_precision(whole)), coefficients, num_steps).to(whole.dtype)]
    stack = torch.stack(tuple(matrices))
    return orthogonalized(stack.to(_precision(stack)), coefficients, num_steps).to(stack.dtype).unbind()


def _precision(matrix: Tensor) -> torch.dtype:
    return torch.bfloat16 if matrix.device.type == "cuda" else matrix.dtype


def orthogonalized(
    matrices: Float[Tensor, "*number rows columns"], coefficients: tuple[float, float, float], num_steps: int
) -> Float[Tensor, "*number rows columns"]:
    """About the nearest matrix, of each, whose singular values are all equal, by Newton-Schulz steps.

    Source: Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks.
    """
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    result = matrices.mT if is_tall else matrices
    result = result / torch.linalg.vector_norm(result, dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    short, long = result.shape[-2:]
    if long > _LONG * short and num_steps <= _STEPS_BY_PRODUCTS[result.dtype]:
        result = _factor(result @ result.mT, coefficients, num_steps) @ result
    else:
        linear, cubic, quintic = coefficients
        for _ in range(num_steps):
            gram = result @ result.mT
            factor = _product(gram, gram, plus=gram, times=cubic, alpha=quintic)
            result = _product(factor, result, plus=result, times=linear)
    return result.mT if is_tall else result


def _factor(
    gram: Float[Tensor, "*number short short"], coefficients: tuple[float, float, float], num_steps: int
) -> Float[Tensor, "*number short short"]:
    """What all steps together multiply a matrix with, from its products with itself: its long side is left out."""
    change = factor = _change(gram, coefficients)
    for _ in range(num_steps - 1):
        gram = change @ gram @ change  # All are polynomials of the first one, and commute.
        change = _change(gram, coefficients)
        factor = change @ factor
    return factor


def _change(gram: Tensor, coefficients: tuple[float, float, float]) -> Tensor:
    linear, cubic, quintic = coefficients
    change = _product(gram, gram, plus=gram, times=cubic, alpha=quintic)
    change.diagonal(dim1=-2, dim2=-1).add_(linear)
    return change


def _product(left: Tensor, right: Tensor, *, plus: Tensor, times: float, alpha: float = 1.0) -> Tensor:
    """Of matrices or of stacks of them: alpha * left @ right + times * plus."""
    add = torch.addmm if left.ndim == 2 else torch.baddbmm
    return add(plus, left, right, beta=times, alpha=alpha)

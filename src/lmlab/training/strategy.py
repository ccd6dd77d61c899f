"""How Lightning lets several processes train."""

from lmlab.runtime import RuntimeSettings
from lmlab.training.lightning import strategies
from lmlab.training.processes import World


def strategy_of(runtime: RuntimeSettings, world: World) -> str | strategies.Strategy:
    """Lightning's strategy for the processes that there are, which others have started."""
    if world.size == 1:
        return "auto"
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    environment = TorchElasticEnvironment()
    if runtime.strategy == "fsdp":
        strategy = strategies.ModelParallelStrategy(data_parallel_size=world.size, tensor_parallel_size=1)
        strategy.cluster_environment = environment
        return strategy
    return strategies.DDPStrategy(
        cluster_environment=environment, forward_sync_buffers=False, gradient_as_bucket_view=True
    )

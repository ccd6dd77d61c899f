"""What the tables assume of machines and prices; each is a number to put your own in place of."""

from typing import NamedTuple


class Gpu(NamedTuple):
    """A GPU, as its maker describes it."""

    name: str
    memory_bytes: float
    peak_bfloat16: float
    """Operations a second of dense matrix products in bfloat16, summed in float32."""


class Machine(NamedTuple):
    """GPUs, what joins them, and what they cost."""

    gpu: Gpu
    gpus_per_machine: int
    nvlink_bytes_per_second: float
    """One way, of each GPU to the others of its machine."""
    network_bytes_per_second: float
    """One way, of each GPU to other machines."""
    usable_share: float
    """Of the GPU's memory: the rest is the CUDA context's, NCCL's and the allocator's gaps."""
    mfu: float
    """Share of the peak that a training's own operations make use of."""
    dollars_per_gpu_hour: float


# NVIDIA H100 and H200 Tensor Core GPU datasheets, SXM: 1,979 TFLOPS in bfloat16 are with sparsity, half of that dense.
H100 = Gpu("H100", 80e9, 989.4e12)
H200 = Gpu("H200", 141e9, 989.4e12)
# The same datasheets: NVLink 900 GB/s, both ways together. DGX H100 user guide: a ConnectX-7 port of 400 Gb/s a GPU.
DEFAULT = Machine(
    gpu=H100,
    gpus_per_machine=8,
    nvlink_bytes_per_second=450e9,
    network_bytes_per_second=50e9,
    usable_share=0.9,
    mfu=0.4,
    dollars_per_gpu_hour=2.5,
)

"""The tables of docs/scaling.md, in Markdown."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.scaling import costs
from benchmarks.scaling.costs import Shape
from benchmarks.scaling.hardware import H100, H200, Gpu, Machine

SHAPES = (
    Shape("100 million", 768, 12, 12, 12, 2048, vocabulary_size=32768),
    Shape("1 billion", 2048, 18, 16, 8, 5632, vocabulary_size=65536),
    Shape("10 billion", 5120, 35, 40, 8, 13824, vocabulary_size=65536),
)
TOKENS = (10e9, 100e9, 1e12)
LENGTH = 2048
PROCESSES = (8, 64, 512)
STEP_TOKENS = {"100 million": 2**19, "1 billion": 2**21, "10 billion": 2**22}
"""Of an optimizer step: about what published trainings of these sizes use."""
OPTIMIZER = "adamw"
# A text of the web in English, with a vocabulary of 32,768 or 65,536 tokens; a record is a page of it.
BYTES_PER_TOKEN, TOKENS_PER_RECORD = 4, 1000
# reports/benchmarks.md, on 2 cores: cleaning by both, training byte-pair encoding and encoding.
CLEAN_RATE, BPE_RATE, ENCODE_RATE = 6.7e6, 1.8e6, 10e6
DIGEST_RATE, DISK_RATE = 1.5e9, 2e9
"""Bytes a second: SHA-256 on one core with instructions for it; a machine's file system."""
HOST_BYTES = 256e9
CHECKPOINT_SECONDS = (30, 1800)
MEASURED = Path(__file__).absolute().parents[2] / "reports" / "benchmarks" / "scaling.json"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """Markdown: so many columns of words, then numbers on the right."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * words + "---:|" * (len(heads) - words)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def assumptions(machine: Machine) -> str:
    """What the other tables take of machines."""
    gpu, bits = machine.gpu, 8 * machine.network_bytes_per_second / 1e9
    sheets = "the same datasheets"
    rows = [
        (
            "memory",
            f"{amount(H100.memory_bytes)}, {amount(H200.memory_bytes)}",
            "NVIDIA's H100 and H200 datasheets, SXM",
        ),
        ("of that usable", share(machine.usable_share), "assumed: CUDA, NCCL and gaps take the rest"),
        ("bfloat16, a second", f"{gpu.peak_bfloat16:.3g}", f"{sheets}: half of the 1,979 TFLOPS with sparsity"),
        ("NVLink, one way", f"{amount(machine.nvlink_bytes_per_second)}/s", f"{sheets}: 900 GB/s both ways"),
        ("network, one way", f"{amount(machine.network_bytes_per_second)}/s", f"DGX H100 user guide: {bits:.0f} Gb/s"),
        ("MFU", share(machine.mfu), "assumed: `--mfu`; measured on one H100, below"),
        ("dollars a GPU hour", f"{machine.dollars_per_gpu_hour:.2f}", "assumed: `--price`"),
    ]
    return table(("of an H100 or H200", "value", "from"), rows, words=3)


def shapes(_: Machine) -> str:
    """What is trained."""
    heads = ("size", "d", "L", "heads", "key heads", "f", "V", "N", "N of matrices", "attention beside 6 N")
    return table(heads, [_shape_row(shape) for shape in SHAPES])


def _shape_row(shape: Shape) -> list[str]:
    attention = costs.attention_operations(shape, LENGTH) / (6 * shape.parameters)
    given = (shape.width, shape.layers, shape.heads, shape.key_heads, shape.feed_forward_width, shape.vocabulary_size)
    return [
        *(shape.name, *(f"{value:,}" for value in given)),
        *(f"{shape.parameters / 1e6:,.0f} M", f"{shape.matrices / 1e6:,.0f} M", share(attention)),
    ]


def memory(_: Machine) -> str:
    """What a process without shards holds."""
    heads = ("size", "weights", "gradients", "AdamW", "Muon", "copies in bf16", "a token, float32", "a token, bf16")
    return table(heads, [_memory_row(shape) for shape in SHAPES])


def _memory_row(shape: Shape) -> list[str]:
    weights = costs.FLOAT32 * shape.parameters
    kept = (costs.saved_bytes(shape, LENGTH), costs.saved_bytes_mixed(shape))
    per_token = [saved + costs.passing_bytes(shape) for saved in kept]
    states = [costs.optimizer_bytes(shape, optimizer) for optimizer in ("adamw", "muon")]
    return [shape.name, *map(amount, (weights, weights, *states, costs.copied_bytes(shape), *per_token))]


def fits(machine: Machine) -> str:
    """Tokens that a GPU has room for at once."""
    heads = ("size", "shared by", "held without a token", *(f"tokens on an {gpu.name}" for gpu in (H100, H200)))
    rows = []
    for shape in SHAPES:
        rows.append(_fit_row(shape, "DDP", costs.static_bytes(shape, OPTIMIZER), machine))
        for processes in PROCESSES:
            static = costs.fsdp_static_bytes(shape, OPTIMIZER, processes)
            rows.append(_fit_row(shape, f"FSDP, {processes} GPUs", static, machine))
    return table(heads, rows)


def _fit_row(shape: Shape, how: str, static: float, machine: Machine) -> list[str]:
    held = static + costs.copied_bytes(shape)
    return [shape.name, how, amount(held), *(_room(shape, held, gpu, machine) for gpu in (H100, H200))]


def _room(shape: Shape, held: float, gpu: Gpu, machine: Machine) -> str:
    tokens = tokens_that_fit(shape, held, gpu, machine)
    return f"{tokens:,}" if tokens >= LENGTH else "none" if tokens <= 0 else f"{tokens:,}: not one row"


def tokens_that_fit(shape: Shape, held: float, gpu: Gpu, machine: Machine) -> int:
    """Tokens of a part, beside what is held without them."""
    a_token = costs.saved_bytes_mixed(shape) + costs.passing_bytes(shape)
    return int((machine.usable_share * gpu.memory_bytes - held) / a_token)


def compute(machine: Machine) -> str:
    """Operations, hours and dollars."""
    hours = (f"{count} GPUs" for count in PROCESSES)
    heads = ("size", "tokens", "tokens a parameter", "6 N D", "GPU hours", "dollars", *hours)
    return table(heads, [_compute_row(shape, tokens, machine) for shape in SHAPES for tokens in TOKENS])


def _compute_row(shape: Shape, tokens: float, machine: Machine) -> list[str]:
    operations = 6 * shape.parameters * tokens
    seconds = operations / (machine.mfu * machine.gpu.peak_bfloat16)
    return [
        *(shape.name, count(tokens), f"{tokens / shape.parameters:,.0f}", f"{operations:.1e}"),
        *(f"{seconds / 3600:,.0f}", f"{seconds / 3600 * machine.dollars_per_gpu_hour:,.0f}"),
        *(duration(seconds / gpus) for gpus in PROCESSES),
    ]


def communication(machine: Machine) -> str:
    """What a process sends for one sum, and how many tokens take as long to compute."""
    heads = ("size", "shared by", "sent", "by NVLink", "by the network", "tokens, NVLink", "tokens, network")
    kinds = (("DDP", costs.ddp_bytes), ("FSDP", costs.fsdp_bytes))
    return table(heads, [_sent_row(shape, how, sent(shape, 64), machine) for shape in SHAPES for how, sent in kinds])


def _sent_row(shape: Shape, how: str, sent: float, machine: Machine) -> list[str]:
    rates = (machine.nvlink_bytes_per_second, machine.network_bytes_per_second)
    even = (f"{_even_tokens(shape, sent, rate, machine):,.0f}" for rate in rates)
    return [shape.name, how, amount(sent), *(duration(sent / rate) for rate in rates), *even]


def bound(machine: Machine) -> str:
    """How far the network lets the MFU come."""
    heads = (
        "size",
        "GPUs",
        "shared by",
        "of a step",
        "that fit",
        "between two sums",
        "the network needs",
        "MFU at most",
    )
    gpus = [(gpu, processes) for gpu in (H100, H200) for processes in PROCESSES[1:]]
    return table(heads, [_bound_row(shape, *one, machine) for shape in SHAPES for one in gpus], words=3)


def _bound_row(shape: Shape, gpu: Gpu, processes: int, machine: Machine) -> list[str]:
    how, sent, static = "DDP", costs.ddp_bytes(shape, processes), float(costs.static_bytes(shape, OPTIMIZER))
    if tokens_that_fit(shape, static + costs.copied_bytes(shape), gpu, machine) < LENGTH:
        how, sent = "FSDP", costs.fsdp_bytes(shape, processes)
        static = costs.fsdp_static_bytes(shape, OPTIMIZER, processes)
    fit = tokens_that_fit(shape, static + costs.copied_bytes(shape), gpu, machine)
    of_step = STEP_TOKENS[shape.name] // processes
    # DDP sums once a step, FSDP for each part.
    between = of_step if how == "DDP" else min(fit, of_step) // LENGTH * LENGTH or of_step
    needed = _even_tokens(shape, sent, machine.network_bytes_per_second, machine)
    tokens = (f"{tokens:,.0f}" for tokens in (of_step, fit, between, needed))
    return [shape.name, f"{processes} {gpu.name}", how, *tokens, share(machine.mfu * min(1, between / needed))]


def _even_tokens(shape: Shape, sent: float, rate: float, machine: Machine) -> float:
    """Tokens that take as long to compute as it takes to send."""
    return sent / rate * machine.mfu * machine.gpu.peak_bfloat16 / (6 * shape.parameters)


def muon(machine: Machine) -> str:
    """What Muon adds to a step, which does not shrink with more GPUs."""
    heads = (
        "size",
        "tokens a step",
        "operations of Muon",
        "beside 6 N D",
        "its seconds",
        "a step on 64 GPUs",
        "on 512",
    )
    return table(heads, [_muon_row(shape, machine) for shape in SHAPES])


def _muon_row(shape: Shape, machine: Machine) -> list[str]:
    tokens, own = STEP_TOKENS[shape.name], costs.muon_operations(shape, on_gpu=True)
    operations = 6 * shape.parameters * tokens
    seconds = own / (machine.mfu * machine.gpu.peak_bfloat16)
    steps = [operations / (machine.mfu * machine.gpu.peak_bfloat16 * gpus) for gpus in PROCESSES[1:]]
    beside = share(own / operations, places=2)
    return [shape.name, count(tokens), f"{own:.1e}", beside, duration(seconds), *map(duration, steps)]


def preparation(_: Machine) -> str:
    """What the text costs before a training sees it."""
    heads = ("tokens", "text", "records", "clean", "byte-pair encoding", "encode", "signatures", "memory to compare")
    return table(heads, [_preparation_row(tokens) for tokens in TOKENS])


def _preparation_row(tokens: float) -> list[str]:
    text, records = tokens * BYTES_PER_TOKEN, tokens / TOKENS_PER_RECORD
    seconds = (text / rate for rate in (CLEAN_RATE, BPE_RATE, ENCODE_RATE))
    signatures = records * costs.SIGNATURE_BYTES_PER_RECORD
    memory_bytes = records * costs.COMPARED_BYTES_PER_RECORD
    spent = map(duration, seconds)
    return [count(tokens), amount(text), count(records), *spent, amount(signatures), amount(memory_bytes)]


def store(_: Machine) -> str:
    """What the token store asks of each process of a training."""
    heads = ("tokens", "tokens on disk", "index in memory", "order in memory", "both, 8 processes", "checked in")
    return table(heads, [_store_row(tokens) for tokens in TOKENS])


def _store_row(tokens: float) -> list[str]:
    num_bytes = tokens * costs.token_bytes(SHAPES[-1].vocabulary_size)
    index = tokens / TOKENS_PER_RECORD * costs.INDEX_BYTES_PER_RECORD
    order = tokens / LENGTH * costs.WINDOW_BYTES
    held = map(amount, (num_bytes, index, order, 8 * (index + order)))
    return [count(tokens), *held, duration((num_bytes + index) / DIGEST_RATE)]


def checkpoints(machine: Machine) -> str:
    """What resume costs, written by one process."""
    shares = (f"of the time, every {seconds} s" for seconds in CHECKPOINT_SECONDS)
    heads = (
        "size",
        "resume.pt",
        "gathered on each GPU",
        "with its share of 64",
        "memory of rank 0",
        "written in",
        *shares,
    )
    return table(heads, [_checkpoint_row(shape, machine) for shape in SHAPES])


def _checkpoint_row(shape: Shape, machine: Machine) -> list[str]:
    num_bytes = costs.checkpoint_bytes(shape, OPTIMIZER)
    seconds = num_bytes / DIGEST_RATE + num_bytes / DISK_RATE
    # Between two steps there are no gradients; the embedding is still together.
    on_gpu = num_bytes * (1 + 1 / 64) + costs.FLOAT32 * shape.embedding
    usable = machine.usable_share * machine.gpu.memory_bytes
    shares = (share(seconds / (every + seconds)) for every in CHECKPOINT_SECONDS)
    fit = "" if on_gpu <= usable else f": more than an {machine.gpu.name} has"
    held = (amount(num_bytes), amount(num_bytes), f"{amount(on_gpu)}{fit}", amount(2 * num_bytes))
    return [shape.name, *held, duration(seconds), *shares]


def limits(machine: Machine) -> str:
    """Where each limit bites."""
    gpu = machine.usable_share * machine.gpu.memory_bytes
    of_gpu, of_host = f"{amount(gpu)} of an {machine.gpu.name}", f"a machine's {amount(HOST_BYTES)}"
    a_token = costs.INDEX_BYTES_PER_RECORD / TOKENS_PER_RECORD + costs.WINDOW_BYTES / LENGTH
    of_index = f"8 x {a_token:.3f} D"
    words, tokens = HOST_BYTES / costs.WORD_BYTES, HOST_BYTES / 8 / a_token
    week, records = 7 * 86400 * BPE_RATE / BYTES_PER_TOKEN, HOST_BYTES / costs.COMPARED_BYTES_PER_RECORD
    rows = [
        ("ONNX is one file", "4 (N + V d)", "2 GiB of protobuf", parameters(2**31 / 4)),
        ("DDP: weights, gradients, AdamW, copies", "(16 + 2) N", of_gpu, parameters(gpu / 18)),
        ("FSDP: resume.pt is gathered on each GPU", "(12 + 12 / 64) N", of_gpu, parameters(gpu / (12 + 12 / 64))),
        ("each process of a machine builds all weights", "8 x 4 N", of_host, parameters(HOST_BYTES / 32)),
        ("FSDP: copies in bfloat16 are not shared out", "(2 + 16 / 64) N", of_gpu, parameters(gpu / 2.25)),
        ("byte-pair encoding: a kilobyte a distinct word", "words", of_host, f"{count(words)} words"),
        ("byte-pair encoding: one process reads all text", "4 D / 1.8 MB/s", "a week", f"{count(week)} tokens"),
        ("token store: index and order, 8 processes", of_index, of_host, f"{count(tokens)} tokens"),
        ("records in 32 bits", "records", "2^32", f"{count(2**32)} records"),
        ("comparing records", "26 bytes a record", of_host, f"{count(records)} records"),
    ]
    return table(("limit", "grows as", "against", "bites at"), rows, words=4)


def measured(_: Machine) -> str:
    """Formulas beside what `--check` measured last; reports/benchmarks/scaling.json has it."""
    cases = json.loads(MEASURED.read_text(encoding="utf-8"))["cases"] if MEASURED.is_file() else []
    rows = []
    for case in cases:
        values = {way: spread["median"] for way, spread in case["values"].items()}
        off = values["measured"] / values["formula"] - 1
        rows.append(
            [
                case["name"],
                case["unit"],
                f"{values['measured']:,.0f}",
                f"{values['formula']:,.0f}",
                f"{100 * off:+.2f} %",
            ]
        )
    return table(("case", "unit", "measured", "formula", "off by"), rows)


def amount(num_bytes: float) -> str:
    """Bytes in decimal units, to three digits."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= size:
            return f"{num_bytes / size:.3g} {unit}" if num_bytes < 999.5 * size else f"{num_bytes / size:,.0f} {unit}"
    return f"{num_bytes:.0f} B"


def count(number: float) -> str:
    """A number in words of thousands, to two digits."""
    for unit, size in (("trillion", 1e12), ("billion", 1e9), ("million", 1e6)):
        if number >= size:
            return f"{number / size:.2g} {unit}" if number < 99.5 * size else f"{number / size:,.0f} {unit}"
    return f"{number:,.0f}"


def share(value: float, *, places: int = 0) -> str:
    """In percent."""
    return f"{100 * value:.{places}f} %"


def parameters(number: float) -> str:
    """So many parameters."""
    return f"{count(number)} parameters"


def duration(seconds: float) -> str:
    """Time in the unit that suits it."""
    for unit, size in (("days", 86400 * 2), ("hours", 3600 * 2), ("minutes", 120)):
        if seconds >= size:
            return f"{seconds / {'days': 86400, 'hours': 3600, 'minutes': 60}[unit]:,.3g} {unit}"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


TABLES: dict[str, Callable[[Machine], str]] = {
    "assumptions": assumptions,
    "shapes": shapes,
    "memory": memory,
    "fits": fits,
    "compute": compute,
    "communication": communication,
    "bound": bound,
    "muon": muon,
    "preparation": preparation,
    "store": store,
    "checkpoints": checkpoints,
    "limits": limits,
    "measured": measured,
}

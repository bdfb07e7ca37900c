#!/usr/bin/env python3
"""What a job needs of GPU memory, before it starts: the arithmetic, shown, and what would make it fit.

On a node it is Slurm's TaskProlog: the job says what it will do in its comment (`sbatch --comment="memory: params=70b
precision=bf16 kv_tokens=32768"`), and a job that cannot fit ends with exit code 3 and the sum in its output.

The sums, in bytes (B parameters, s tokens a sequence, b sequences, h hidden size, L layers, a heads):
  weights      B x bytes of the precision
  KV cache     2 x L x KV heads x head size x bytes x tokens in all sequences
  gradients    B x bytes of the precision (training; LoRA: of the adapter alone)
  optimizer    AdamW in mixed precision: 12 B a parameter (fp32 copy, two moments): Rajbhandari et al. 2020, ZeRO, 3.1
  activations  s b h (34 + 5 a s / h) a layer; with checkpointing 2 s b h a layer, and one whole layer at a time:
               Korthikanti et al. 2022, Reducing Activation Recomputation, equations 1 and 4
Weights, gradients and optimizer are shared out over the job's GPUs (FSDP, ZeRO-3, tensor parallel); activations are
not.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from dataclasses import dataclass, fields, replace

GIB = 2**30
REFUSED = 3
#: Bytes a value; AWQ's INT4 keeps a scale and a zero for each group of 128 weights: about 4.25 bits.
PRECISIONS = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "awq": 4.25 / 8}
#: Bytes a trained parameter beside its gradient.
OPTIMIZERS = {"none": 0.0, "sgd": 8.0, "adamw": 12.0, "adamw8bit": 6.0}
#: CUDA context, kernels and communication buffers of one process; measured by users between 0.4 and 1 GiB.
CONTEXT_BYTES = 0.8 * GIB
#: What the caching allocator cannot hand out, as a share of what it holds; the second with expandable segments.
FRAGMENTED, DEFRAGMENTED = 0.08, 0.02
UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}


class BadBudget(ValueError):
    """A declaration that says nothing or too much."""


@dataclass(frozen=True)
class Job:
    """What a job declares. Counts; ``params`` of the model, ``lora_params`` of the adapter that is trained instead."""

    params: float = 0
    precision: str = "bf16"
    optimizer: str = "none"
    lora_params: float = 0
    layers: float = 0
    hidden: float = 0
    heads: float = 0
    kv_heads: float = 0
    kv_tokens: float = 0
    sequence: float = 0
    batch: float = 1
    checkpointing: str = "no"
    expandable: str = "no"

    @property
    def trains(self) -> bool:
        """Whether anything is trained."""
        return self.optimizer != "none"


@dataclass(frozen=True)
class Line:
    """One summand: bytes on one GPU, and how it came about."""

    what: str
    size: float
    how: str


def parse(text: str) -> Job | None:
    """Return what a comment declares after the word `memory:`, None when it declares nothing."""
    found = re.search(r"(?:^|[\s;])memory:\s*([^;]*)", text)
    if found is None:
        return None
    kinds = {field.name: field.type for field in fields(Job)}
    values: dict[str, object] = {}
    for word in found[1].split():
        name, sign, value = word.partition("=")
        if not sign or name not in kinds:
            raise BadBudget(f"memory: {word!r} is not known; write name=value with names out of {', '.join(kinds)}")
        values[name] = value.lower() if kinds[name] == "str" else number(name, value)
    job = Job(**values)  # type: ignore[arg-type]
    check(job)
    return job


def number(name: str, text: str) -> float:
    """Return a count written as 70b, 32k, 1.3e9."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?(?:e[0-9]{1,2})?)([kmbt]?)", text.lower())
    if found is None:
        raise BadBudget(f"memory: {name}={text} is not a count; write one like 70b, 32k or 4096")
    return float(found[1]) * UNITS[found[2]]


def check(job: Job) -> None:
    """Raise BadBudget for a declaration that cannot be summed up."""
    for name, known in (("precision", PRECISIONS), ("optimizer", OPTIMIZERS)):
        if getattr(job, name) not in known:
            raise BadBudget(f"memory: {name}={getattr(job, name)} is not known; write one of {', '.join(known)}")
    for name in ("checkpointing", "expandable"):
        if getattr(job, name) not in ("yes", "no"):
            raise BadBudget(f"memory: {name}={getattr(job, name)}: write yes or no")
    if job.params <= 0:
        raise BadBudget("memory: params is missing: how many parameters the model has, such as params=70b")
    if job.kv_tokens and not (job.layers and job.hidden and job.heads):
        raise BadBudget("memory: kv_tokens needs layers, hidden and heads (and kv_heads where they are fewer)")
    if job.trains and not (job.layers and job.hidden and job.heads and job.sequence):
        raise BadBudget("memory: training needs layers, hidden, heads and sequence for its activations")


def summands(job: Job, gpus: int) -> list[Line]:
    """Return what the job needs on each of ``gpus`` GPUs, in bytes."""
    size = PRECISIONS[job.precision]
    lines = [
        Line("weights", job.params * size / gpus, f"{count(job.params)} x {size:g} B ({job.precision}) / {gpus} GPUs")
    ]
    if job.kv_tokens:
        heads = job.kv_heads or job.heads
        width = job.hidden / job.heads
        lines.append(
            Line(
                "KV cache",
                2 * job.layers * heads * width * 2 * job.kv_tokens / gpus,
                f"2 x {job.layers:g} layers x {heads:g} heads x {width:g} x 2 B x {count(job.kv_tokens)} tokens"
                f" / {gpus} GPUs",
            )
        )
    if job.trains:
        trained = job.lora_params or job.params
        held = OPTIMIZERS[job.optimizer]
        lines += [
            Line("gradients", trained * 2 / gpus, f"{count(trained)} x 2 B / {gpus} GPUs"),
            Line("optimizer", trained * held / gpus, f"{count(trained)} x {held:g} B ({job.optimizer}) / {gpus} GPUs"),
            activations(job),
        ]
    held = sum(line.size for line in lines)
    share = DEFRAGMENTED if job.expandable == "yes" else FRAGMENTED
    lines.append(Line("allocator", held * share, f"{share:.0%} of the above cannot be handed out"))
    lines.append(Line("CUDA", CONTEXT_BYTES, "context, kernels, communication buffers"))
    return lines


def activations(job: Job) -> Line:
    """Return the activations of one GPU in 16 bits; they are not shared out."""
    base = job.sequence * job.batch * job.hidden
    layer = base * (34 + 5 * job.heads * job.sequence / job.hidden)
    if job.checkpointing == "yes":
        return Line("activations", 2 * base * job.layers + layer, f"{job.layers:g} inputs kept, one layer anew")
    return Line("activations", layer * job.layers, f"{job.layers:g} layers kept whole")


def need(job: Job, gpus: int) -> float:
    """Return the bytes that the job needs on each GPU."""
    return sum(line.size for line in summands(job, gpus))


def remedies(job: Job, gpus: int, free: float) -> list[str]:
    """Return what would make the job fit in ``free`` bytes a GPU, the mildest first; said with the new sum."""
    found = []
    mild = replace(job, expandable="yes")
    if job.expandable == "no":
        words = "clear the cache and keep it whole: PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True, expandable=yes"
        found.append((mild, words))
    if job.trains and job.checkpointing == "no":
        mild = replace(mild, checkpointing="yes")
        found.append((mild, "gradient checkpointing: model.gradient_checkpointing_enable(), checkpointing=yes"))
    if job.optimizer == "adamw":
        mild = replace(mild, optimizer="adamw8bit")
        found.append((mild, "an 8-bit optimizer: optimizer=adamw8bit"))
    sums = [(words, need(it, gpus)) for it, words in found]
    said = [f"{words}: {wanted / GIB:.1f} GiB{' fits' if wanted <= free else ''}" for words, wanted in sums]
    for more in range(gpus + 1, 65):
        if need(mild, more) <= free:
            return [*said, f"with these on {more} GPUs: {need(mild, more) / GIB:.1f} GiB fits"]
    return said


def report(job: Job, gpus: int, total: float, used: float) -> tuple[bool, str]:
    """Return whether the job fits, and the arithmetic in lines; ``total`` and ``used`` bytes of the fullest GPU."""
    free, wanted = total - used, need(job, gpus)
    lines = [f"GPU memory on each of {gpus} GPUs:"]
    lines += [f"  {line.what:<12}{line.size / GIB:9.1f} GiB   {line.how}" for line in summands(job, gpus)]
    lines.append(f"  {'needed':<12}{wanted / GIB:9.1f} GiB   free: {free / GIB:.1f} GiB of {total / GIB:.1f}")
    if wanted <= free:
        return True, "\n".join(lines)
    lines.append(f"refused: {(wanted - free) / GIB:.1f} GiB too much on each GPU")
    if used > 0 and wanted <= total:
        lines.append(f"  - something else holds {used / GIB:.1f} GiB: end it, and it fits")
    lines += [f"  - {words}" for words in remedies(job, gpus, free)]
    return False, "\n".join(lines)


def count(value: float) -> str:
    """Return a count as people write it: 70b, 32.8k."""
    for unit in ("t", "b", "m", "k"):
        if value >= UNITS[unit]:
            return f"{value / UNITS[unit]:.3g}{unit}"
    return f"{value:g}"


def gpu_memory(wanted: str) -> tuple[int, float, float]:
    """Return how many GPUs a job has (``wanted``: their indices, "" for all); total and used bytes of the fullest."""
    done = subprocess.run(
        ["nvidia-smi", "--query-gpu=index,memory.total,memory.used", "--format=csv,noheader,nounits"],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    rows = [line.split(", ") for line in done.stdout.splitlines() if re.fullmatch(r"\d+, \d+, \d+", line)]
    chosen = [row for row in rows if not wanted or row[0] in wanted.split(",")]
    if done.returncode != 0 or not chosen:
        raise BadBudget(f"nvidia-smi does not say how much memory GPU {wanted or 0} has")
    fullest = max(chosen, key=lambda row: int(row[2]) - int(row[1]))
    return len(chosen), float(fullest[1]) * 2**20, float(fullest[2]) * 2**20


def comment_of(job_id: str) -> str:
    """Return the comment of a Slurm job."""
    done = subprocess.run(
        ["squeue", "--noheader", "--jobs", job_id, "--Format=comment:4096"],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    return done.stdout.strip()


def prolog(environ: dict[str, str]) -> int:
    """Run as Slurm's TaskProlog: print the arithmetic into the job's output, and end with 3 when it cannot fit."""
    if environ.get("SLURM_PROCID", "0") != "0":
        return 0
    try:
        job = parse(comment_of(environ["SLURM_JOB_ID"]))
        if job is None:
            return 0
        fits, text = report(job, *gpu_memory(environ.get("CUDA_VISIBLE_DEVICES", "")))
    except BadBudget as error:
        fits, text = False, f"refused: {error}"
    # Slurm hands on to the task's output what stands after `print`.
    print("\n".join(f"print {line}" for line in text.splitlines()), flush=True)
    return 0 if fits else REFUSED


def main(words: list[str]) -> int:
    """Answer on the command line: `memory_budget.py "params=70b precision=awq" --gpus 4 --memory 80`."""
    parser = argparse.ArgumentParser(description="Whether a job fits into GPU memory, with the arithmetic.")
    parser.add_argument("declaration", help='such as "params=70b precision=awq"')
    parser.add_argument("--gpus", type=int, default=1, help="GPUs of the job")
    parser.add_argument("--memory", type=float, default=80, help="GiB of each GPU")
    given = parser.parse_args(words)
    try:
        job = parse(f"memory: {given.declaration}")
    except BadBudget as error:
        print(error, file=sys.stderr)
        return 2
    assert job is not None  # noqa: S101 - the word memory: was given
    fits, text = report(job, given.gpus, given.memory * GIB, 0)
    print(text)
    return 0 if fits else REFUSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if len(sys.argv) > 1 else prolog(dict(os.environ)))

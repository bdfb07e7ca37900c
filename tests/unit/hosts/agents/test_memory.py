"""The memory budget: the sums by hand, what a declaration may say, and that a remedy that is offered does fit."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.core.paths import ROOT
from dualtrack.hosts.agents import memory_budget as budget
from dualtrack.hosts.agents.memory_budget import GIB, BadBudget, Job


def declared(text: str) -> Job:
    job = budget.parse(f"memory: {text}")
    assert job is not None
    return job


def size(job: Job, what: str, gpus: int = 1) -> float:
    return next(line.size for line in budget.summands(job, gpus) if line.what == what)


def test_weights_by_hand() -> None:
    assert size(declared("params=70b precision=bf16"), "weights", 4) == 70e9 * 2 / 4
    assert size(declared("params=70b precision=awq"), "weights") == 70e9 * 4.25 / 8


def test_kv_cache_of_a_model_with_grouped_heads() -> None:
    # Llama 3 70B: 80 layers, 8 KV heads of 128: 327,680 bytes a token in 16 bits.
    job = declared("params=70b layers=80 hidden=8192 heads=64 kv_heads=8 kv_tokens=1")
    assert size(job, "KV cache") == 327_680


def test_adamw_in_mixed_precision_is_sixteen_bytes_a_parameter() -> None:
    job = declared("params=1b optimizer=adamw layers=24 hidden=2048 heads=16 sequence=2048")
    assert size(job, "weights") + size(job, "gradients") + size(job, "optimizer") == 16e9


def test_lora_trains_the_adapter_alone() -> None:
    job = declared("params=7b lora_params=40m optimizer=adamw layers=32 hidden=4096 heads=32 sequence=2048")
    assert size(job, "gradients") + size(job, "optimizer") == 40e6 * 14


def test_activations_by_the_paper() -> None:
    # Korthikanti et al., equation 1: s b h (34 + 5 a s / h) a layer.
    job = declared("params=7b optimizer=adamw layers=32 hidden=4096 heads=32 sequence=2048 batch=2")
    layer = 2048 * 2 * 4096 * (34 + 5 * 32 * 2048 / 4096)
    assert size(job, "activations") == 32 * layer
    kept = declared("params=7b optimizer=adamw layers=32 hidden=4096 heads=32 sequence=2048 batch=2 checkpointing=yes")
    assert size(kept, "activations") == 32 * 2 * 2048 * 2 * 4096 + layer


def test_no_declaration_no_judgement() -> None:
    assert budget.parse("nightly run; owner=anna") is None
    assert budget.parse("") is None
    assert budget.parse("run 7; memory: params=7b; owner=anna") == Job(params=7e9)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "params is missing"),
        ("params=0", "params is missing"),
        ("params=-7b", "is not a count"),
        ("params=nan", "is not a count"),
        ("params=7b precision=int3", "precision=int3 is not known"),
        ("params=7b colour=red", "'colour=red' is not known"),
        ("params", "'params' is not known"),
        ("params=7b optimizer=adamw", "training needs"),
        ("params=7b kv_tokens=9", "kv_tokens needs"),
        ("params=7b checkpointing=perhaps", "yes or no"),
    ],
)
def test_bad_declarations(text: str, said: str) -> None:
    with pytest.raises(BadBudget, match=said):
        budget.parse(f"memory: {text}")


@given(
    st.floats(1e8, 5e12),
    st.sampled_from(sorted(budget.PRECISIONS)),
    st.sampled_from(["none", "adamw", "sgd"]),
    st.integers(1, 8),
)
def test_what_is_offered_as_fitting_fits(params: float, precision: str, optimizer: str, gpus: int) -> None:
    job = Job(params, precision, optimizer, layers=32, hidden=4096, heads=32, sequence=4096)
    fits, text = budget.report(job, gpus, 80 * GIB, 0)
    assert fits == (budget.need(job, gpus) <= 80 * GIB)
    assert ("refused" in text) == (not fits)
    # The sum that is shown is the sum of what is shown.
    parts = [float(found) for found in re.findall(r"^  (?!needed)\S.{11}\s*([0-9.]+) GiB", text, re.M)]
    total = float(re.findall(r"needed\s+([0-9.]+) GiB", text)[0])
    assert sum(parts) == pytest.approx(total, abs=0.05 * len(parts) + 0.06)
    for shown in re.findall(r": ([0-9.]+) GiB fits", text):
        assert float(shown) <= 80


def test_more_gpus_are_never_worse() -> None:
    job = declared("params=70b optimizer=adamw layers=80 hidden=8192 heads=64 sequence=4096 checkpointing=yes")
    needs = [budget.need(job, gpus) for gpus in range(1, 17)]
    assert needs == sorted(needs, reverse=True)


def test_memory_that_somebody_else_holds_is_said() -> None:
    fits, text = budget.report(declared("params=30b"), 1, 80 * GIB, 60 * GIB)
    assert not fits
    assert "something else holds 60.0 GiB: end it, and it fits" in text


def test_command_line() -> None:
    words = [sys.executable, "-I", str(ROOT / "tools/dualtrack/hosts/agents/memory_budget.py")]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*words, *more], capture_output=True, text=True, check=False)

    assert run("params=70b precision=awq", "--memory", "80").returncode == 0
    refused = run("params=70b", "--memory", "80")
    assert (refused.returncode, "refused: " in refused.stdout) == (3, True)
    bad = run("params=seventy")
    assert (bad.returncode, bad.stdout, len(bad.stderr.splitlines())) == (2, "", 1)

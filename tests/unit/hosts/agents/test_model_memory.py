"""What a model needs of memory: known figures, and files that are not models."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dualtrack.hosts.agents import model_memory
from dualtrack.hosts.agents.memory_budget import GIB
from dualtrack.hosts.agents.model_memory import SHARE, BadModel, Model, read, report, tokens
from tests.support.models import SMOLLM2, gguf

#: Llama 3 70B, as R1-Distill-Llama-70B is: 80 layers, 8 KV heads of 128.
LLAMA_70B = {
    "hidden_size": 8192, "num_attention_heads": 64, "num_key_value_heads": 8, "num_hidden_layers": 80,
    "vocab_size": 128256,
}  # fmt: skip
PARAMETERS, EMBEDDED = 70.6e9, 2 * 128256 * 8192


def folder(at: Path, weights: float, **config: Any) -> Path:
    at.mkdir(exist_ok=True)
    (at / "config.json").write_text(json.dumps({**LLAMA_70B, **config}))
    with (at / "model.safetensors").open("wb") as file:
        file.truncate(int(weights))  # sparse
    return at


@pytest.mark.parametrize(
    ("weights", "gpus", "known", "contexts"),
    [
        # In 16 bits on 4 A100 of 80 GiB: about 480,000 tokens, 14 contexts of 32k.
        (PARAMETERS * 2, 4, 480_000, 14),
        # AWQ on one, its embeddings in 16 bits: about 103,000 tokens.
        ((PARAMETERS - EMBEDDED) * 4.25 / 8 + EMBEDDED * 2, 1, 103_000, 3),
    ],
)
def test_a_llama_of_70b_on_a100(tmp_path: Path, weights: float, gpus: int, known: int, contexts: int) -> None:
    model = read(folder(tmp_path / "m", weights))
    free = 80 * GIB * SHARE
    assert 2 * model.layers * model.kv_width == 320 * 1024, "bytes of a token"
    assert tokens(model, 1, gpus, free) == pytest.approx(known, rel=0.07)
    fits, said = report(model, 32768, contexts, free, gpus)
    assert (fits, "room for" in said) == (True, True), said
    fits, said = report(model, 32768, contexts + 2, free, gpus)
    assert (fits, "does not fit: room for" in said) == (False, True), said


def test_one_gpu_is_too_small_for_16_bits(tmp_path: Path) -> None:
    fits, said = report(read(folder(tmp_path / "m", PARAMETERS * 2)), 64, 1, 80 * GIB, 1)
    assert not fits
    assert "room for 0 tokens" in said
    assert "weights        131.50 GiB" in said


def test_a_compressed_cache_is_whole_on_each_gpu(tmp_path: Path) -> None:
    """DeepSeek V3: 61 layers, 512 + 64 values of a token in each."""
    of = folder(tmp_path / "m", 671e9, num_hidden_layers=61, kv_lora_rank=512, qk_rope_head_dim=64)
    sizes = [{it.what: it.size for it in model_memory.summands(read(of), 1, 1, gpus)} for gpus in (1, 8)]
    assert [it["KV cache"] for it in sizes] == [61 * 576 * 2] * 2
    assert sizes[1]["weights"] * 8 == sizes[0]["weights"]


def test_heads_are_shared_out_as_far_as_there_are_any(tmp_path: Path) -> None:
    model = read(folder(tmp_path / "m", 1e9, num_key_value_heads=2))
    sizes = [
        next(it.size for it in model_memory.summands(model, 1, 1, gpus) if it.what == "KV cache") for gpus in (1, 2, 8)
    ]
    assert sizes == [sizes[0], sizes[0] / 2, sizes[0] / 2]


def test_a_gguf_file(tmp_path: Path) -> None:
    """SmolLM2-135M: 11,520 bytes of a token in each of keys and values, 30 layers x 3 heads x 64 values x 2 bytes."""
    path = gguf(tmp_path / "m.gguf", SMOLLM2)
    assert read(path) == Model(
        weights=path.stat().st_size, layers=30, hidden=576, kv_width=384, kv_parts=3, vocabulary=49152
    )
    fits, said = report(read(path), 1024, 4, GIB)
    assert fits, said
    assert "30 layers x 384 values x 2 B x 1.02k tokens x 4 requests" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"general.architecture": 7}, "embedding_length is None"), ({"llama.block_count": 0}, "block_count is 0"),
        ({"llama.attention.head_count": "9"}, "attention.head_count is '9'"),
    ],
)  # fmt: skip
def test_a_gguf_file_that_says_too_little(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadModel, match=said):
        read(gguf(tmp_path / "m.gguf", {**SMOLLM2, **change}))


@pytest.mark.parametrize(
    ("config", "said"),
    [("", "not a JSON object"), ("[]", "not a JSON object"), ("[" * 100_000, "recursion|not a JSON"),
     ("{}", "hidden_size is None"),
     (json.dumps({**LLAMA_70B, "num_hidden_layers": True}), "num_hidden_layers is True"),
     (json.dumps({**LLAMA_70B, "pad": "x" * (1 << 20)}), "at most 1 MiB")],
)  # fmt: skip
def test_a_config_that_is_none(tmp_path: Path, config: str, said: str) -> None:
    (tmp_path / "m.safetensors").write_bytes(b"x")
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(BadModel, match=said):
        read(tmp_path)


def test_pickled_weights_are_none(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_70B))
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(BadModel, match="pickled"):
        read(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(place=st.integers(0, 400), flips=st.binary(min_size=1, max_size=8), length=st.integers(0, 900))
def test_a_broken_gguf_file_is_said_to_be_one(tmp_path: Path, place: int, flips: bytes, length: int) -> None:
    """Cut anywhere, or with other bytes in it: a model, or BadModel, and never more memory than the file has."""
    data = bytearray(gguf(tmp_path / "m.gguf", SMOLLM2, words=20).read_bytes())
    data[place : place + len(flips)] = flips
    for part in (data, data[:length]):
        (tmp_path / "m.gguf").write_bytes(part)
        with contextlib.suppress(BadModel):
            assert read(tmp_path / "m.gguf").layers > 0


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(gguf(tmp_path / "m.gguf", SMOLLM2))
    assert model_memory.main([path, "--context", "64", "--requests", "1"]) == 0
    assert "memory of this host:" in capsys.readouterr().out
    assert model_memory.main([path, "--context", "1000000", "--requests", "99", "--gpus", "1", "--memory", "1"]) == 3
    assert "does not fit" in capsys.readouterr().out
    (tmp_path / "m.gguf").write_bytes(b"PK\3\4")
    assert model_memory.main([path, "--context", "64", "--requests", "1"]) == 2
    assert capsys.readouterr().err == "dualtrack-model-memory: m.gguf is not a GGUF file\n"

"""What a model needs of memory before it is started: its weights, and a KV cache for every request's whole context.

A part of the programs that run engines (role serving), and a command on their hosts:

    dualtrack-model-memory FILE.gguf|DIRECTORY --context 32768 --requests 14 [--gpus 4 --memory 80]

A GGUF file, or `config.json` beside the safetensors of a directory, says what the model is; nothing else is read, and
pickled weights are refused. Without ``--gpus`` it is this host's own memory. Exit codes: 0 it fits, 2 it is not a
model, 3 it does not fit.

The sums, in bytes, on each of t GPUs:
  weights      what is on the disk / t
  KV cache     layers x values of a token x 2 x context x requests; heads are shared out, as far as there are any; the
               compressed cache of DeepSeek V2 and later (MLA) is whole on each
  work         one layer's activations of the tokens that are read at once, s h (10 + 24 / t) (Korthikanti et al. 2022,
               equation 2, without attention), and the values for each word of the vocabulary
"""

from __future__ import annotations

import argparse
import json
import re
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from dualtrack.hosts.agents.memory_budget import CONTEXT_BYTES, GIB, REFUSED, Line, count

#: Tokens that are read at once: `--max-num-batched-tokens` of the role's vLLM, and llama.cpp's physical batch.
CHUNK_GPU, CHUNK_HOST = 8192, 512
#: The share of a GPU's memory that vLLM may take: `--gpu-memory-utilization`.
SHARE = 0.92
#: Of a file that names more than that, nothing is believed.
MOST_ENTRIES, MOST_BYTES, CONFIG_BYTES = 10_000, 64 << 20, 1 << 20
#: Sizes of GGUF's numbers, by their type, with what struct calls them.
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9


class BadModel(ValueError):
    """The file or directory is not a model whose memory can be told."""


@dataclass(frozen=True)
class Model:
    """What memory depends on: bytes of ``weights``, and counts; ``kv_width`` in values of a token and a layer.

    ``kv_parts``: over how many GPUs a token's values can be shared out.
    """

    weights: int
    layers: int
    hidden: int
    kv_width: int
    kv_parts: int
    vocabulary: int


def read(path: Path) -> Model:
    """Return a model of a GGUF file or a directory; BadModel for what is none."""
    try:
        return from_folder(path) if path.is_dir() else from_gguf(path)
    except (OSError, struct.error, UnicodeDecodeError, RecursionError) as error:
        raise BadModel(f"{path.name}: {error}") from None


def from_folder(folder: Path) -> Model:
    """Return the model whose `config.json` and safetensors a directory has."""
    with (folder / "config.json").open("rb") as file:
        text = file.read(CONFIG_BYTES + 1)
    try:
        found = json.loads(text) if len(text) <= CONFIG_BYTES else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BadModel("config.json is not a JSON object of at most 1 MiB")
    found = found.get("text_config") or found
    weights = sum(it.stat().st_size for it in folder.glob("*.safetensors"))
    if not weights:
        raise BadModel("there are no safetensors: pickled weights run programs when they are loaded, and are not")
    hidden, heads = _counted(found, "hidden_size"), _counted(found, "num_attention_heads")
    if found.get("kv_lora_rank"):
        width, parts = _counted(found, "kv_lora_rank") + _counted(found, "qk_rope_head_dim"), 1
    else:
        parts = _counted(found, "num_key_value_heads", heads)
        width = 2 * parts * _counted(found, "head_dim", hidden // heads)
    return Model(
        weights=weights, layers=_counted(found, "num_hidden_layers"), hidden=hidden, kv_width=width, kv_parts=parts,
        vocabulary=_counted(found, "vocab_size"),
    )  # fmt: skip


def from_gguf(path: Path) -> Model:
    """Return the model of a GGUF file, from its metadata (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)."""
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise BadModel(f"{path.name} is not a GGUF file")
        version, _, entries = _unpack(file, "<IQQ")
        if version not in (2, 3) or entries > MOST_ENTRIES:
            raise BadModel(
                f"{path.name} is a GGUF file of version {version} with {entries} entries: not of a known kind"
            )
        found: dict[str, Any] = {}
        for _ in range(entries):
            name = _string(file)
            found[name] = _value(file, _unpack(file, "<I")[0])
    kind = found.get("general.architecture")
    own = {name.removeprefix(f"{kind}."): it for name, it in found.items() if name.startswith(f"{kind}.")}
    hidden, heads = _counted(own, "embedding_length"), _counted(own, "attention.head_count")
    parts = _counted(own, "attention.head_count_kv", heads)
    size = hidden // heads
    width = parts * (_counted(own, "attention.key_length", size) + _counted(own, "attention.value_length", size))
    return Model(
        weights=path.stat().st_size, layers=_counted(own, "block_count"), hidden=hidden, kv_width=width, kv_parts=parts,
        vocabulary=_counted(found, "tokenizer.ggml.tokens"),
    )  # fmt: skip


def _counted(found: Mapping[str, Any], name: str, otherwise: int = 0) -> int:
    """Return a count, or the number of a list's entries; BadModel for what cannot be one."""
    value = found.get(name) or otherwise
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**40:
        raise BadModel(f"{name} is {ascii(found.get(name))[:40]}: not a model whose memory can be told")
    return value


def _unpack(file: BufferedReader, form: str) -> tuple[Any, ...]:
    return struct.unpack(form, _taken(file, struct.calcsize(form)))


def _taken(file: BufferedReader, size: int) -> bytes:
    if size > MOST_BYTES or len(data := file.read(size)) != size:
        raise BadModel("the file ends in the middle of what describes it, or says what cannot be")
    return data


def _string(file: BufferedReader) -> str:
    return _taken(file, _unpack(file, "<Q")[0]).decode()


def _value(file: BufferedReader, kind: int) -> Any:
    """Return a number or a string; of an array, how many entries it has."""
    if kind in NUMBERS:
        return _unpack(file, f"<{NUMBERS[kind]}")[0]
    if kind == STRING:
        return _string(file)
    if kind != ARRAY:
        raise BadModel(f"the file has a value of the unknown type {kind}")
    inner, entries = _unpack(file, "<IQ")
    if inner in NUMBERS:
        _taken(file, entries * struct.calcsize(f"<{NUMBERS[inner]}"))
    elif inner == STRING and entries <= MOST_BYTES:
        for _ in range(entries):
            _taken(file, _unpack(file, "<Q")[0])
    else:
        raise BadModel("the file has an array of arrays, or of too many entries")
    return entries


def summands(model: Model, context: int, requests: int, gpus: int) -> list[Line]:
    """Return what is needed on each GPU, or of this host's memory (``gpus`` is 0)."""
    parts = max(1, gpus)
    shared = min(parts, model.kv_parts)
    of = f" / {parts} GPUs" if gpus else ""
    chunk, rows = (CHUNK_GPU, requests) if gpus else (CHUNK_HOST, CHUNK_HOST)
    lines = [
        Line("weights", model.weights / parts, f"{model.weights / GIB:.1f} GiB on the disk{of}"),
        Line(
            "KV cache", model.layers * model.kv_width * 2 * context * requests / shared,
            f"{model.layers} layers x {model.kv_width} values x 2 B x {count(context)} tokens x {requests} requests"
            + (f" / {shared} GPUs" if gpus else ""),
        ),
        Line("activations", chunk * model.hidden * (10 + 24 / parts), f"{chunk} tokens x {model.hidden}, a layer"),
        Line("vocabulary", rows * model.vocabulary * 4, f"{rows} x {count(model.vocabulary)} x 4 B"),
    ]  # fmt: skip
    return [*lines, *([Line("CUDA", CONTEXT_BYTES, "context, kernels, communication buffers")] if gpus else [])]


def report(model: Model, context: int, requests: int, free: float, gpus: int = 0) -> tuple[bool, str]:
    """Return whether it fits into ``free`` bytes of each GPU, or of this host, and the arithmetic in lines."""
    lines = summands(model, context, requests, gpus)
    wanted = sum(it.size for it in lines)
    text = [f"memory of {f'each of {gpus} GPUs' if gpus else 'this host'}:"]
    text += [f"  {it.what:<12}{it.size / GIB:9.2f} GiB   {it.how}" for it in lines]
    text.append(f"  {'needed':<12}{wanted / GIB:9.2f} GiB   there are {free / GIB:.2f} GiB")
    room = count(tokens(model, requests, gpus, free))
    text.append(f"  {'fits' if wanted <= free else 'does not fit'}: room for {room} tokens in all requests together")
    return wanted <= free, "\n".join(text)


def tokens(model: Model, requests: int, gpus: int, free: float) -> int:
    """Return for how many tokens of all requests together the KV cache has room beside what else is needed."""
    sizes = {it.what: it.size for it in summands(model, 1, requests, gpus)}
    each = sizes.pop("KV cache") / requests
    return max(0, int((free - sum(sizes.values())) / each))


def host_memory(meminfo: Path = Path("/proc/meminfo")) -> tuple[float, float]:
    """Return the bytes that this host has, and those that are free or can be had at once."""
    found = dict(re.findall(r"^(\w+): +(\d+) kB$", meminfo.read_text(), re.MULTILINE))
    return float(found["MemTotal"]) * 1024, float(found["MemAvailable"]) * 1024


def main(words: list[str]) -> int:
    """Answer on the command line."""
    parser = argparse.ArgumentParser(
        prog="dualtrack-model-memory", description="Whether a model fits, with the arithmetic."
    )
    parser.add_argument("model", type=Path, help="a GGUF file, or a directory with config.json and safetensors")
    parser.add_argument("--context", type=int, required=True, help="tokens of one request, prompt and answer")
    parser.add_argument("--requests", type=int, required=True, help="how many at once")
    parser.add_argument("--gpus", type=int, default=0, help="over how many GPUs it is shared out (tensor parallel)")
    parser.add_argument("--memory", type=float, default=80, help="GiB of each GPU; the engine may take 92 %% of it")
    given = parser.parse_args(words)
    if min(given.context, given.requests) < 1 or not 0 <= given.gpus <= 1024:
        parser.error("context and requests are 1 or more, gpus 0 to 1024")
    try:
        model = read(given.model)
    except BadModel as error:
        print(f"dualtrack-model-memory: {error}", file=sys.stderr)
        return 2
    free = given.memory * GIB * SHARE if given.gpus else host_memory()[1]
    fits, text = report(model, given.context, given.requests, free, given.gpus)
    print(text)
    return 0 if fits else REFUSED

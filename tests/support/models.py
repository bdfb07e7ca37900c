"""Files of models, without their weights."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

SMOLLM2 = {
    "general.architecture": "llama", "llama.block_count": 30, "llama.embedding_length": 576,
    "llama.attention.head_count": 9, "llama.attention.head_count_kv": 3,
}  # fmt: skip


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(at: Path, entries: dict[str, Any], words: int = 49152, rest: int = 1000) -> Path:
    """Write a GGUF file with these entries, a vocabulary, and zeros where weights would be."""
    found = b""
    for name, value in entries.items():
        found += text(name)
        found += struct.pack("<I", 8) + text(value) if isinstance(value, str) else struct.pack("<II", 4, value)
    found += text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, words) + text("w") * words
    found += text("tokenizer.ggml.scores") + struct.pack("<IIQ3f", 9, 6, 3, 1, 2, 3)
    at.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(entries) + 2) + found + b"\0" * rest)
    return at

"""What Triton runs for each batch: texts become vectors, by a sentence encoder in ONNX with its tokenizer.

Loaded by Triton's Python backend (`triton` writes the file that imports this), with numpy, onnxruntime and tokenizers
from the engine's own directory. The version's directory has `model.onnx` and `tokenizer.json`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import onnxruntime
import triton_python_backend_utils as triton
from tokenizers import Tokenizer

#: Texts are run together with others of less than twice their length: a long one would pad all to its own.
SHORTEST = 16


class TritonPythonModel:
    """An instance, in a process of its own; the names are Triton's."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model; what is raised here is what Triton says of a load that failed."""
        said = {name: it["string_value"] for name, it in json.loads(args["model_config"])["parameters"].items()}
        place = Path(said["checkpoint"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            str(place / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.inputs = {it.name for it in self.session.get_inputs()}
        self.tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.context, self.pooling = int(said["context"]), said["pooling"]

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests together, each by its own texts; one with a text that is too long is refused alone."""
        asked = [triton.get_input_tensor_by_name(it, "TEXT").as_numpy().reshape(-1) for it in requests]
        read = [self.tokenizer.encode_batch([text.decode() for text in texts]) for texts in asked]
        longest = [max(len(it.ids) for it in texts) for texts in read]
        fitting = [it for texts, length in zip(read, longest, strict=True) if length <= self.context for it in texts]
        vectors = iter(self.vectors([it.ids for it in fitting]))
        answers = []
        for texts, length in zip(read, longest, strict=True):
            if length > self.context:
                why = f"a text has {length} tokens, and the model takes {self.context}"
                answers.append(triton.InferenceResponse([], triton.TritonError(why, triton.TritonError.INVALID_ARG)))
                continue
            answers.append(triton.InferenceResponse([
                triton.Tensor("EMBEDDING", numpy.stack([next(vectors) for _ in texts])),
                triton.Tensor("TOKENS", numpy.array([[len(it.ids)] for it in texts], dtype=numpy.int32)),
            ]))  # fmt: skip
        return answers

    def vectors(self, texts: Sequence[Sequence[int]]) -> numpy.ndarray[Any, Any]:
        """Return a vector of length 1 for each text, given as tokens; those of like length are run together."""
        found: list[Any] = [None] * len(texts)
        groups: dict[int, list[int]] = {}
        for number, ids in enumerate(texts):
            groups.setdefault(max(SHORTEST, 1 << (len(ids) - 1).bit_length()), []).append(number)
        for numbers in groups.values():
            width = max(len(texts[it]) for it in numbers)
            tokens, mask = numpy.zeros((2, len(numbers), width), dtype=numpy.int64)
            for row, number in enumerate(numbers):
                length = len(texts[number])
                tokens[row, :length], mask[row, :length] = texts[number], 1
            given = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": numpy.zeros_like(tokens)}
            out = self.session.run(None, {name: given[name] for name in self.inputs})[0]
            for number, vector in zip(numbers, self.pooled(out, mask), strict=True):
                found[number] = vector
        return numpy.array(found, dtype=numpy.float32)

    def pooled(self, out: numpy.ndarray[Any, Any], mask: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
        """Return vectors of length 1 from what the model says of each token, (texts, tokens, width)."""
        if out.ndim == 3:
            weights = mask[:, :, None].astype(numpy.float32)
            out = out[:, 0] if self.pooling == "cls" else (out * weights).sum(1) / weights.sum(1)
        found: numpy.ndarray[Any, Any] = out / numpy.linalg.norm(out, axis=1, keepdims=True)
        return found

#!/bin/sh
# What the role starts as vLLM on a host without a GPU: the ranks of an engine meet, by the real NCCL and Gloo, and then
# requests are answered as by vLLM. `ranks` is found only where the engine's own programs are in PATH.
set -eu
ranks
exec python3 "${0%/*}/fake_vllm.py" "$@"

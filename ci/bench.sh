#!/usr/bin/env bash
# Timings beside their peers, in one run each; printed, never asserted: these machines are noisy, ratios are what holds.
# The peers (the amazon.aws collection, pyinfra, bare boto3) live in an environment of their own.
set -euo pipefail
cd "$(dirname "$0")/.."
stamp=$(sha256sum requirements/bench.txt | cut -c1-16)
if [[ $(cat .venv-bench/stamp 2>/dev/null) != "$stamp" ]]; then
    echo "making the peers' environment" >&2
    .venv/bin/uv venv --quiet --python .venv/bin/python .venv-bench --clear
    .venv/bin/uv pip sync --quiet --compile-bytecode --python .venv-bench/bin/python --require-hashes requirements/bench.txt
    echo "$stamp" >.venv-bench/stamp
fi
for bench in "${@:-tests/bench/bench_*.py}"; do
    # shellcheck disable=SC2086 # a pattern is meant
    for file in $bench; do .venv/bin/python "$file"; done
done

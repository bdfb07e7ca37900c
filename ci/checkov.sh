#!/usr/bin/env bash
# Checkov over terraform/, from an environment of its own: what it pins does not agree with the rest of the project.
# The environment is made on the first run and again when requirements/checkov.txt changes.
set -euo pipefail
cd "$(dirname "$0")/.."

env=.venv-checkov
want=$(sha256sum requirements/checkov.txt | cut -d' ' -f1)
if [[ $(cat "$env/stamp" 2>/dev/null) != "$want" ]]; then
    echo "checkov: making $env (about a minute, once)" >&2
    rm -rf "$env"
    .venv/bin/uv venv --quiet --python .venv/bin/python "$env"
    .venv/bin/uv pip sync --quiet --python "$env/bin/python" --require-hashes requirements/checkov.txt
    echo "$want" >"$env/stamp"
fi
exec "$env/bin/checkov" --config-file .checkov.yaml "$@"

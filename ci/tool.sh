#!/usr/bin/env bash
# Runs a tool from an environment of its own, because what it pins does not agree with the rest of the project, or only
# tests need it: `ci/tool.sh checkov --version`, or `ci/tool.sh node:npm --version` for another program of an environment.
# It is made from requirements/NAME.txt on the first run, and again when that changes.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
name=${1%%:*} program=${1##*:}
shift

env=$root/.venv-$name
exec 9>>"$env.lock" # two at once would make it twice
flock 9
want=$(sha256sum "$root/requirements/$name.txt" | cut -d' ' -f1)
if [[ $(cat "$env/stamp" 2>/dev/null) != "$want" ]]; then
    echo "$name: making .venv-$name (a minute at most, once)" >&2
    rm -rf "$env"
    if [[ -n ${DUALTRACK_MIRROR:-} ]]; then
        UV_DEFAULT_INDEX=file://$(realpath -m "$DUALTRACK_MIRROR")/wheels/simple/
        export UV_DEFAULT_INDEX
    fi
    "$root/.venv/bin/uv" venv --quiet --python "$root/.venv/bin/python" "$env"
    "$root/.venv/bin/uv" pip sync --quiet --python "$env/bin/python" --require-hashes "$root/requirements/$name.txt"
    echo "$want" >"$env/stamp"
fi
exec 9>&-
exec "$env/bin/$program" "$@"

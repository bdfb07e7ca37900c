#!/usr/bin/env bash
# Every test, in the order in which a failure is cheapest to find; stops at the first part that fails.
# The lab is started once and shared: molecule hosts and the tracks live in it side by side.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
begin=$SECONDS
part() { # title, command...
    printf '\n=== %s\n' "$1"
    local start=$SECONDS
    "${@:2}"
    printf '=== %s: ok in %s s (%s s in all)\n' "$1" "$((SECONDS - start))" "$((SECONDS - begin))"
}
leave_nothing() {
    dualtrack lab down >/dev/null 2>&1 || true
    dualtrack doctor --json >/dev/null || true
}
trap leave_nothing EXIT

part lint ci/lint.sh
part unit pytest tests/unit -n 2 -q
part integration pytest tests/integration -q
part molecule ci/molecule.sh
part "end to end" pytest tests/e2e -q

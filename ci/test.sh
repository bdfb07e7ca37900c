#!/usr/bin/env bash
# Every test, in the order in which a failure is cheapest to find; stops at the first part that fails.
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
# A lab of the tests' own: the operator's, should one be up, is not touched. It is down again whatever happens.
export DUALTRACK_LAB_DIR="$PWD/.lab/test"
trap 'dualtrack lab down >/dev/null 2>&1 || echo "the test lab could not be taken down: dualtrack doctor" >&2' EXIT

ci/test_programs.sh
part lint ci/lint.sh
part unit pytest tests/unit -n 2 -q
# A file a worker: the tests of one file share what they bring up. The linters' file has been run by lint.
part integration pytest tests/integration -n 2 --dist loadfile -q --ignore tests/integration/test_terraform_lint.py
part molecule ci/molecule.sh
part "end to end" pytest tests/e2e -n 2 --dist loadfile --no-loadscope-reorder -q --durations=25

#!/usr/bin/env bash
# Every test that has no result for the tree as it is (docs/explanation/testing.md); arguments go to the gate.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
ci/test_programs.sh
# Built before anything is timed, and once: units side by side would wait for each other.
dualtrack setup
exec python -m ci.gate "$@"

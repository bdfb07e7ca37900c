#!/usr/bin/env bash
# One molecule scenario, on a lab of its own that is down again afterwards: `ci/scenario.sh base`. The lab costs
# two seconds; it starts with nothing of another scenario's, and all that it uses is counted as this one's. Where
# DUALTRACK_KEEP is set and something failed, it stays up to be looked at.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH" NO_COLOR=1
scenario=${1:?which scenario?}
[ -f "molecule/$scenario/molecule.yml" ] || { echo "no scenario '$scenario' in molecule/" >&2; exit 2; }
export DUALTRACK_LAB_DIR="${DUALTRACK_LAB_DIR:-$PWD/.lab/molecule/$scenario}"
export DUALTRACK_STATE_DIR="${DUALTRACK_STATE_DIR:-$DUALTRACK_LAB_DIR/state}"
# Each run has its own notes of hosts and their addresses, as each has its own lab.
export MOLECULE_EPHEMERAL_DIRECTORY="$DUALTRACK_LAB_DIR/molecule"
rm -rf "$MOLECULE_EPHEMERAL_DIRECTORY"
# Which paths modules are given that run as root on hosts: molecule/shared/verify.yml asks who else can write there.
export DUALTRACK_OBSERVED_PATHS="$DUALTRACK_LAB_DIR/observed-paths.jsonl"
export ANSIBLE_CALLBACK_PLUGINS="$PWD/molecule/shared/callback" ANSIBLE_CALLBACKS_ENABLED=observed_paths
rm -f "$DUALTRACK_OBSERVED_PATHS"
log=$(mktemp)
down() {
    local code=$?
    [ "$code" -eq 0 ] || why
    rm -f "$log"
    if [ "$code" -eq 0 ] || [ -z "${DUALTRACK_KEEP:-}" ]; then
        dualtrack lab down >/dev/null 2>&1 || echo "the scenario's lab could not be taken down: dualtrack doctor" >&2
    fi
}
# The failed tasks, each in a line, last of all: whoever reads only the end of a long log finds them there.
why() {
    echo "--- why:"
    sed -nE '/^(fatal|failed): |^ +"msg": |UNREACHABLE|^ERROR /p' "$log" | cut -c1-1200 | tail -n 8
    for console in "$DUALTRACK_LAB_DIR"/logs/hosts/*-vm.log; do
        [ -f "$console" ] || continue
        echo "the console of its virtual machine:"
        tail -n 12 "$console" | cut -c1-200
    done
}
trap down EXIT
dualtrack lab down >/dev/null 2>&1 # one that was kept
dualtrack lab up
molecule test --destroy never -s "$scenario" </dev/null 2>&1 | tee "$log"

#!/usr/bin/env bash
# Every role's scenario on live lab hosts, two at a time; with arguments only those roles. Ends with one line a role and
# `N passed, N failed`, and prints the whole output of what failed,
# then, last of all, the lines that say why: whoever reads only the end of a long log finds them there.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH" NO_COLOR=1
export DUALTRACK_LAB_DIR="${DUALTRACK_LAB_DIR:-$PWD/.lab}"
logs="$DUALTRACK_LAB_DIR/logs/molecule"
mkdir -p "$logs"

if [ $# -eq 0 ]; then
    for file in molecule/*/molecule.yml; do
        set -- "$@" "$(basename "$(dirname "$file")")"
    done
fi
for role in "$@"; do
    [ -f "molecule/$role/molecule.yml" ] || { echo "no scenario for role '$role' in molecule/" >&2; exit 2; }
done

# The lab and its mirror are made once, before the scenarios ask for hosts side by side.
dualtrack lab up >"$logs/lab.log" 2>&1 || { cat "$logs/lab.log" >&2; exit 4; }

# One virtual machine serves all scenarios that need a kernel of their own, one after the other; a new one each run.
dualtrack lab host remove molecule-vm 2>/dev/null
vm_lock="$DUALTRACK_LAB_DIR/molecule-vm.lock"

# In the background each scenario leads a group of its own; Ctrl-C ends them all, by their ids.
set -m
running=()
# shellcheck disable=SC2317 # called by the trap
stop() {
    for pid in "${running[@]}"; do kill -- "-$pid" 2>/dev/null || true; done
    exit 130
}
trap stop INT TERM

needs_vm() { grep -q 'name: molecule-vm' "molecule/$1/molecule.yml"; }

scenario() {
    local started=$SECONDS code=0 alone=()
    if needs_vm "$1"; then alone=(flock "$vm_lock"); fi
    "${alone[@]}" molecule test -s "$1" >"$logs/$1.log" 2>&1 </dev/null || code=$?
    echo "$code $((SECONDS - started))" >"$logs/$1.result"
}

for role in "$@"; do
    rm -f "$logs/$role.result"
    while [ "$(jobs -rp | wc -l)" -ge "${MOLECULE_JOBS:-2}" ]; do wait -n || true; done
    echo "molecule: $role"
    scenario "$role" &
    running+=($!)
done
wait

why() { # the failed tasks of a role's log, each in a line, cut where it would fill the screen
    local console="$DUALTRACK_LAB_DIR/logs/hosts/molecule-vm.log"
    sed -nE '/^(fatal|failed): |^ +"msg": |UNREACHABLE|^ERROR /p' "$logs/$1.log" | cut -c1-1200 | tail -n 8
    if needs_vm "$1" && [ -f "$console" ]; then
        echo "the console of its virtual machine:"
        tail -n 12 "$console" | cut -c1-200
    fi
}

passed=0 failed=0 reasons=""
for role in "$@"; do
    read -r code seconds <"$logs/$role.result" || { code=1 seconds=0; }
    if [ "$code" -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok      $role (${seconds} s)"
    else
        failed=$((failed + 1))
        reasons+="$role: $(why "$role")"$'\n'
        echo "--- $role, the whole output:"
        cat "$logs/$role.log"
        echo "FAILED  $role (${seconds} s): $logs/$role.log"
    fi
done
[ -z "$reasons" ] || printf '%s' "--- why:"$'\n'"$reasons"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
dualtrack lab host remove molecule-vm 2>/dev/null # kept where something failed, to look at

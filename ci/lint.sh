#!/usr/bin/env bash
# Every linter, side by side; prints what failed, all of it, and exits 1 when anything did. With arguments: only those.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
export PATH="$PWD/.venv/bin:$PATH"
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

mapfile -t shells < <(git ls-files -co --exclude-standard '*.sh' .ci/run)

# name:command, cheap ones first; two at a time on two cores.
declare -A checks=(
    [ruff]="ruff check tools tests roles ci molecule plugins"
    [ruff-format]="ruff format --check tools tests roles ci molecule plugins"
    [mypy]="mypy"
    [imports]="lint-imports --no-cache"
    [yamllint]="yamllint --strict ."
    [shellcheck]="shellcheck ${shells[*]}"
    [ansible-lint]="env ANSIBLE_COLLECTIONS_PATH=ansible/collections ANSIBLE_LIBRARY=plugins/modules python ci/ansible_lint.py --offline -q"
    [terraform]="pytest -q tests/integration/test_terraform_lint.py"
    [checkov]="ci/tool.sh checkov --config-file .checkov.yaml"
    [generated-docs]="python ci/role_docs.py --check && python ci/module_docs.py --check && python ci/command_docs.py --check"
    [words]="python ci/words.py"
    [docs-site]="ci/docs_site.sh && python ci/translations.py"
)
order=(ansible-lint checkov mypy terraform ruff ruff-format imports yamllint shellcheck generated-docs words docs-site)
[[ $# -eq 0 ]] || order=("$@")
for name in "${order[@]}"; do
    [[ -n ${checks[$name]:-} ]] || { echo "no linter is called '$name': ${!checks[*]}" >&2; exit 2; }
done
run_one() { # name, command
    local begin=$SECONDS
    if bash -c "$2" >"$logs/$1" 2>&1; then echo "ok      $1 ($((SECONDS - begin)) s)"; else echo "FAILED  $1 ($((SECONDS - begin)) s)"; touch "$logs/$1.failed"; fi
}
for name in "${order[@]}"; do
    while (($(jobs -rp | wc -l) >= 2)); do wait -n; done
    run_one "$name" "${checks[$name]}" &
done
wait
failed=("$logs"/*.failed)
[[ -e ${failed[0]} ]] || exit 0
for mark in "${failed[@]}"; do
    name=$(basename "$mark" .failed)
    printf '\n--- %s\n' "$name"
    cat "$logs/$name"
done
exit 1

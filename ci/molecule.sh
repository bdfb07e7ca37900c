#!/usr/bin/env bash
# Every role's scenario on live lab hosts, side by side; with arguments only those roles.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || exec .venv/bin/python -m ci.gate --all molecule
exec .venv/bin/python -m ci.gate --all "${@/#/molecule:}"

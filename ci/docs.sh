#!/usr/bin/env bash
# Write what is generated: each role's README from its specs, the command reference from the command line.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/python ci/role_docs.py
.venv/bin/python ci/command_docs.py

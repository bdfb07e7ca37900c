#!/usr/bin/env bash
# Write what is generated: each role's README from its specs, each OpenTofu module's from its files, and the command
# reference from the command line.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/python ci/role_docs.py
.venv/bin/python ci/module_docs.py
.venv/bin/python ci/command_docs.py

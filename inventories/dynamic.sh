#!/usr/bin/env bash
# Both tracks as they are now, for `ansible-inventory -i inventories/dynamic.sh --graph` and for ansible-playbook.
exec "$(dirname "$(readlink -f "$0")")/../.venv/bin/dualtrack" inventory "$@"

#!/usr/bin/env bash
# Programs that only the tests need: a simulator of InfiniBand fabrics with the real subnet manager and diagnostics, and a browser.
# Debian starts opensm as it is installed, and a subnet manager that nobody asked for is a fault: its service is masked.
set -euo pipefail
missing=()
for pair in ibsim:ibsim-utils opensm:opensm ibnetdiscover:infiniband-diags openssl:openssl chromium:chromium; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0
[[ $(id -u) == 0 ]] || { echo "for all tests: apt-get install ${missing[*]}" >&2; exit 3; }
if [[ " ${missing[*]} " == *" opensm "* && ! -e /etc/systemd/system/opensm.service ]]; then
    mkdir -p /etc/systemd/system
    ln -s /dev/null /etc/systemd/system/opensm.service
fi
echo "installing what the tests need: ${missing[*]}" >&2
log=$(mktemp)
if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    echo "apt-get failed: $(grep -E '^(E|W):' "$log" | tail -n 1) (all of it: $log)" >&2
    exit 3
fi
rm -f "$log"

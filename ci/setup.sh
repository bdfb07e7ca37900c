#!/usr/bin/env bash
# Make this checkout ready: Debian packages, the locked Python environment, and what is expensive to build (shared caches).
# Does nothing, in about a second, when all of it is there. `--environment-only` leaves the builds to `dualtrack up`,
# which runs them side by side with everything else.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "setup: $*" >&2; exit 3; }
say() { printf '[%6s s] %s\n' "$SECONDS" "$*" >&2; }

# Program to Debian package; the same list as in tools/dualtrack/lab/doctor.py (a test compares them).
packages() {
    local pair
    for pair in systemd-nspawn:systemd-container mmdebstrap:mmdebstrap nft:nftables ip:iproute2 nc:netcat-openbsd \
        ssh:openssh-client ssh-keygen:openssh-client unshare:util-linux nsenter:util-linux setpriv:util-linux \
        dpkg-deb:dpkg gpg:gnupg gpgv:gpgv jq:jq qemu-system-x86_64:qemu-system-x86 \
        qemu-img:qemu-utils mke2fs:e2fsprogs debugfs:e2fsprogs mvn:maven rsync:rsync; do
        command -v "${pair%%:*}" >/dev/null || echo "${pair##*:}"
    done | sort -u
}

# A Python of at least 3.11 that can make environments; the distribution's own where there are several. It is compiled
# with a profile and linked statically: one that pyenv compiles takes a third more time for the same work.
find_python() {
    local candidate
    for candidate in /usr/bin/python3 python3 python3.11 python3.12 python3.13; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or later with venv: apt-get install python3 python3-venv"
}

# Where a mirror was carried in (docs/how-to/carry-a-mirror-in.md), all comes from there, once it is known that its
# manifest is signed and has not expired; apt checks its suites' signatures, pip and uv the digests in our own locks.
apt=(apt-get)
if [[ -n ${DUALTRACK_MIRROR:-} ]]; then
    mirror=$(realpath -m "$DUALTRACK_MIRROR")
    [[ -f $mirror/MANIFEST.asc ]] || fail "DUALTRACK_MIRROR=$DUALTRACK_MIRROR holds no mirror: the directory that 'dualtrack mirror build --dest' made"
    [[ -f ${DUALTRACK_MIRROR_KEY:-} ]] || fail "DUALTRACK_MIRROR_KEY must name the mirror's public key, a file that came another way"
    DUALTRACK_MIRROR=$mirror DUALTRACK_MIRROR_KEY=$(realpath "$DUALTRACK_MIRROR_KEY")
    command -v gpgv >/dev/null || fail "no gpgv, which checks the mirror's signature: apt-get install gpgv"
    python=$(find_python)
    PYTHONPATH=tools "$python" -BP tools/dualtrack/data/mirror/signed.py "$mirror/MANIFEST.asc" "$DUALTRACK_MIRROR_KEY" >/dev/null
    index=file://$mirror/wheels/simple/
    export DUALTRACK_MIRROR DUALTRACK_MIRROR_KEY PIP_INDEX_URL="$index" UV_DEFAULT_INDEX="$index"
fi

# apt with no other source than the mirror, and lists of its own: this machine's are left as they are.
mirror_apt() { # directory
    mkdir -p "$1/lists/partial"
    printf 'Types: deb\nURIs: copy://%s/debian\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$DUALTRACK_MIRROR" \
        "$(sed -n 's/^debian_suite = "\(.*\)"/\1/p' pyproject.toml)" "$DUALTRACK_MIRROR_KEY" >"$1/mirror.sources"
    apt+=(-o "Dir::Etc::sourcelist=$1/mirror.sources" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$1/lists"
        -o APT::Sandbox::User=root)
}

[[ $(uname -s) == Linux ]] || fail "the lab needs Linux (Debian 12 is what it is run on)"
missing=$(packages)
if [[ -n $missing ]]; then
    [[ $(id -u) == 0 ]] || fail "missing Debian packages: ${missing//$'\n'/ } - run as root, or: apt-get install ${missing//$'\n'/ }"
    command -v apt-get >/dev/null || fail "missing programs from the packages ${missing//$'\n'/ }, and no apt-get to install them"
    say "installing Debian packages: ${missing//$'\n'/ }"
    scratch=$(mktemp -d)
    log=$scratch/log
    [[ -z ${DUALTRACK_MIRROR:-} ]] || mirror_apt "$scratch"
    # shellcheck disable=SC2086 # one word per package is meant
    if ! { "${apt[@]}" update -qq && DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y -qq --no-install-recommends $missing; } >"$log" 2>&1; then
        fail "apt-get failed: $(grep -E '^(E|W):' "$log" | tail -n 1) (all of it: $log)"
    fi
    rm -rf "$scratch"
fi

# The environment is as the lock file says when its stamp is; a broken one is made anew.
stamp=$(cat requirements/main.txt requirements/bootstrap.txt pyproject.toml | sha256sum | cut -c1-16)
if [[ $(cat .venv/stamp 2>/dev/null) != "$stamp" ]] || ! .venv/bin/python -c 'import dualtrack' 2>/dev/null; then
    say "making the Python environment"
    python=$(find_python)
    [[ -x .venv/bin/python ]] || "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
    # Compiled once here: where PYTHONDONTWRITEBYTECODE is set, every start would compile all it imports again.
    .venv/bin/uv pip sync --quiet --compile-bytecode --python .venv/bin/python --require-hashes requirements/main.txt
    .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
    echo "$stamp" >.venv/stamp
fi

[[ ${1:-} == --environment-only ]] || .venv/bin/dualtrack setup

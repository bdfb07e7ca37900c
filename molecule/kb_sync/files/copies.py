"""Tries what somebody may do with a copy's key at its source: read what is sealed, and nothing else.

copies.py ADDRESS    where the source takes ssh. Prints what was wrong, and fails then.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

AT = f"dualtrack-sync@{sys.argv[1]}"
SETTINGS = Path("/etc/dualtrack/knowledge/sync")
SSH = [
    "ssh", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={SETTINGS}/known_hosts",
    "-o", "IdentitiesOnly=yes", "-i", f"{SETTINGS}/identity",
]  # fmt: skip
#: The sender of rsync as a client starts it, but for the paths.
SENDER = "rsync --server --sender -logDtpre.iLsfxCIvu ."
REFUSED = (
    "", "id", "cat /etc/passwd", "offer; id", "offer\nid", "offer id", "$(id)", "sh -c offer", "internal-sftp",
    "/usr/lib/openssh/sftp-server", "scp -f /etc/passwd", "rsync --server -logDtpre.iLsfxCIvu . x",
    "rsync --server --daemon .", f"{SENDER} ../keys.sqlite", f"{SENDER} ../master.key", f"{SENDER} x/../../keys.sqlite",
    f"{SENDER} /etc/shadow", f"{SENDER} --rsync-path=id x", f"{SENDER} $(id)", f"{SENDER} ;id",
    "rsync --server --sender --files-from=/etc/shadow -re.iLsfxCIvu . .", "rsync --server --sender; id",
    "rsync --server --sender --remove-source-files -re.iLsfxCIvu . .",
    "rsync --server --sender --log-file=/tmp/x -re.iLsfxCIvu . .",
)  # fmt: skip


def run(*words: str) -> subprocess.CompletedProcess[bytes]:
    """Run ssh to the source."""
    return subprocess.run([*SSH, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)


def main() -> int:
    """Try all of it and return the exit code."""
    wrong = []
    for command in REFUSED:
        done = run("-T", AT, *([command] if command else []))
        shown = done.stdout + done.stderr
        if done.returncode == 0 or b"uid=" in shown or b"root:" in shown:
            wrong.append(f"{command!r} was not refused: {shown[:200]!r}")
    for options in (("-tt", AT, "offer"), ("-W", "127.0.0.1:22", AT)):
        done = run(*options)
        if options[0] == "-W" and done.returncode == 0:
            wrong.append(f"{options} was not refused")
        elif b"pty" not in done.stderr.lower() and b"prohibited" not in done.stderr.lower():
            wrong.append(f"{options}: {done.stderr[:200]!r}")
    offered = run("-T", AT, "offer")
    if offered.returncode or b"Wombat" in offered.stdout or len(offered.stdout) < 100:
        wrong.append(f"nothing is offered: {offered.stderr[:200]!r}")
    with tempfile.TemporaryDirectory() as folder:
        shell = " ".join(SSH)
        done = subprocess.run(
            ["rsync", "-r", f"--rsh={shell}", f"{AT}:./", folder], capture_output=True, timeout=60, check=False
        )
        found = [it for it in Path(folder).rglob("*") if it.is_file()]
        if done.returncode or {it.name for it in found} != {"card.json", "documents.sealed"}:
            wrong.append(f"versions cannot be read: {done.stderr[:200]!r}, {found}")
        if any(b"Backups" in it.read_bytes() for it in found):
            wrong.append("a version is not sealed")
    for it in wrong:
        sys.stdout.write(f"{it}\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())

"""What `dualtrack pki show` says of the authority itself."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dualtrack.security.pki import authority, lifetimes
from tests.conftest import CLI


@pytest.mark.parametrize(
    ("left", "code", "said"),
    [(lifetimes.CA_DAYS, 0, ""), (200, 0, ""), (60, 1, "the authority ends in"), (4, 1, "the authority ends in")],
)
def test_an_authority_is_a_finding_before_it_ends_and_not_from_the_beginning(
    tmp_path: Path, left: int, code: int, said: str
) -> None:
    begun = datetime.now(UTC) - timedelta(days=lifetimes.CA_DAYS - left)
    authority.ensure(tmp_path, now=begun)
    done = subprocess.run(
        [CLI, "pki", "show", "--pki", tmp_path, "--format", "csv"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    [row] = [it for it in done.stdout.splitlines() if it.startswith("authority")]
    assert row.endswith(",due") == (left < lifetimes.CA_DAYS / 3), row

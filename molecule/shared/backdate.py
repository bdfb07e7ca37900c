"""Put a certificate into an authority's directory that was made 21 days ago, with the addresses of the present one."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from dualtrack.security.pki import authority

folder, kind, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
path = folder / kind / f"{name}.pem"
try:
    named = x509.load_pem_x509_certificate(path.read_bytes()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    addresses = [str(it.value) for it in named.value]
except x509.ExtensionNotFound:
    addresses = []
path.unlink()
authority.issue(folder, kind, name, addresses, now=datetime.now(UTC) - timedelta(days=21))  # type: ignore[arg-type]

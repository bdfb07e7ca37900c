"""What checks of several roles ask of a certificate on a host: that it is good for another week, and that it is in use.

Each function returns what is wrong as one line, '' where nothing is.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509

from dualtrack.security.pki import lifetimes

#: Prints the certificate that a service shows, whoever signed it.
SHOWN = "import ssl, sys; print(ssl.get_server_certificate((sys.argv[1], int(sys.argv[2])), timeout=20))"


def ending(host: Any, path: str, *, now: datetime | None = None) -> str:
    """Tell that less than a week of a certificate is left, of one that another authority issued less than a day.

    A gateway or a knowledge base may have a certificate of another authority, which is renewed by other means.
    """
    found = x509.load_pem_x509_certificate(host.file(path).content)
    ours = "O=dualtrack" in found.issuer.rfc4514_string()
    if found.not_valid_after_utc - (now or datetime.now(UTC)) >= (lifetimes.LATE if ours else timedelta(days=1)):
        return ""
    remedy = "dualtrack pki renew" if ours else "have its authority renew it"
    return f"{path} ends on {found.not_valid_after_utc:%Y-%m-%d}: {remedy}"


def served(host: Any, path: str, address: str, port: int) -> str:
    """Tell what is wrong with a service's certificate, or that the service does not show what the file has."""
    text = host.check_output("python3 -c %s %s %s", SHOWN, address, str(port))
    if x509.load_pem_x509_certificate(text.encode()) != x509.load_pem_x509_certificate(host.file(path).content):
        return f"{address}:{port} shows another certificate than {path}: reload the service"
    return ending(host, path)


def loaded(host: Any, path: str, unit: str, name: str = "cert") -> str:
    """Tell what is wrong with a certificate that systemd hands to a service, or that the service has another one."""
    if host.run("cmp %s %s", path, f"/run/credentials/{unit}/{name}").rc != 0:
        return f"{unit} has another certificate than {path}: systemctl restart {unit}"
    return ending(host, path)

"""Bucket policies of the emulated AWS: what they say of requests without TLS does not hit the lab's own.

The emulator listens on loopback without TLS and stands for an endpoint that has it. moto, for its part, does not know
`aws:SecureTransport` and takes a statement whose condition it cannot judge as a refusal: no object of the stack's
buckets, all of which insist on TLS, could be read or written.
"""

from __future__ import annotations

import json
from typing import Any

from moto.s3 import models

KEY = "aws:SecureTransport"


def install() -> None:
    """Let the emulated buckets judge requests as those that came by TLS."""
    plain = models.FakeBucket.get_permission

    def get_permission(self: Any, action: str, resource: str) -> Any:
        whole = self.policy
        if whole is not None:
            self.policy = by_tls(whole)
        try:
            return plain(self, action, resource)
        finally:
            self.policy = whole

    models.FakeBucket.get_permission = get_permission  # type: ignore[method-assign]


def by_tls(policy: bytes) -> bytes | None:
    """Return a policy without the statements that are only of requests without TLS; None when no other is left."""
    document = json.loads(policy)
    statements = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    kept = [it for it in statements if str(it.get("Condition", {}).get("Bool", {}).get(KEY, "")).lower() != "false"]
    return json.dumps({**document, "Statement": kept}).encode() if kept else None

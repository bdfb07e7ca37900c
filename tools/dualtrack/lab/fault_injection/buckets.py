"""Bucket policies of the emulated AWS: conditions that moto does not know are checked by the request.

moto takes a statement whose condition it cannot check as one that applies. All buckets of the stack insist on TLS,
which the emulator, on loopback, stands for without having it, and on manifests that are never replaced: no object could
be written or read. What applies is left to moto, also a refusal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import flask
from moto.s3 import models

#: Keys that are checked here. Callers of the emulator have no principal: what is said of roles does not apply to them.
KNOWN = frozenset({"aws:securetransport", "aws:principalarn", "s3:if-none-match", "s3:objectcreationoperation"})


def install() -> None:
    """Let the emulated buckets check each request by what it carries."""
    plain = models.FakeBucket.get_permission

    def get_permission(self: Any, action: str, resource: str) -> Any:
        whole, request = self.policy, flask.request if flask.has_request_context() else None
        facts = facts_of(request.method, request.args, dict(request.headers)) if request else {}
        if whole is not None:
            self.policy = applying(whole, facts)
        if action == "s3:PostObject" and facts.get("s3:objectcreationoperation") == "true":
            action = "s3:PutObject"  # what AWS asks for where an upload in parts is completed
        try:
            return plain(self, action, resource)
        finally:
            self.policy = whole

    models.FakeBucket.get_permission = get_permission  # type: ignore[method-assign]


def facts_of(method: str, query: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, str]:
    """Return the condition keys of a request on an object, in lower case, with their values."""
    creates = "uploadId" not in query if method == "PUT" else method == "POST" and "uploadId" in query
    found = {"aws:securetransport": "true", "s3:objectcreationoperation": str(creates).lower()}
    only_new = headers.get("If-None-Match")
    return found | ({"s3:if-none-match": only_new} if only_new else {})


def applying(policy: bytes, facts: Mapping[str, str]) -> bytes | None:
    """Return a policy with the statements that may apply to a request; None when there are none."""
    document = json.loads(policy)
    statements = document["Statement"] if isinstance(document["Statement"], list) else [document["Statement"]]
    kept = [it for it in statements if _may_apply(it.get("Condition", {}), facts)]
    return json.dumps({**document, "Statement": kept}).encode() if kept else None


def _may_apply(conditions: Mapping[str, Mapping[str, Any]], facts: Mapping[str, str]) -> bool:
    return all(
        _holds(operator, str(wanted), facts.get(key.lower()))
        for operator, pairs in conditions.items()
        for key, wanted in pairs.items()
        if key.lower() in KNOWN
    )


def _holds(operator: str, wanted: str, value: str | None) -> bool:
    if operator == "Null":
        return (value is None) == (wanted.lower() == "true")
    return value is not None and (operator != "Bool" or value == wanted.lower())

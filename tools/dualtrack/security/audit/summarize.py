"""What an event says, for people: who did what (pure). Machines take the record itself."""

from __future__ import annotations

import re
from typing import Any

import msgspec

#: What programs say of who did something: sudo, sshd and PAM, in their own words.
WHO = (
    re.compile(r"^\s*(?P<who>[\w.@-]+) : (?P<what>.+)$", re.S),  # sudo
    # sshd. Whom it calls an invalid user nobody is: the name is what a stranger typed.
    re.compile(r"^(?:Accepted|Failed|Postponed) \S+ for (?!invalid user )(?P<who>[\w.@-]+) from "),
    re.compile(r"^pam_\w+\([\w-]+:session\): session (?:opened|closed) for user (?P<who>[\w.@-]+)"),  # PAM
)
#: Before the JSON of the search store's own audit.
STORE = "audit: {"


def told(kind: str, body: str) -> tuple[str, str]:
    """Return who, '' where the event does not say, and what, in one line.

    Only programs of a known kind and root are believed who it was; of others it is the user that they ran as. Of what
    sudo and su say as another account than root, only the name before sudo's command was checked by the recorder.
    """
    text, uid = _message(body)
    if kind == "opensearch" and STORE in text:
        return _store(text[text.index(STORE) + len(STORE) - 1 :], text)
    whole = " ".join(text.split())
    if uid not in ("", "0") and kind in ("journal", "claimed", "su"):
        return f"uid {uid}", whole
    if uid not in ("", "0") and kind == "sudo":
        found = WHO[0].search(text)
        return (found["who"], " ".join(found["what"].split())) if found else (f"uid {uid}", whole)
    for pattern in WHO:
        if found := pattern.search(text):
            return found["who"], " ".join(found.groupdict().get("what", text).split())
    return "", whole


def _message(body: str) -> tuple[str, str]:
    """Return the message of an entry of the journal, and its sender's user; anything else as it is, of nobody."""
    try:
        found: Any = msgspec.json.decode(body)
        message, uid = found["MESSAGE"], found.get("_UID")
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, KeyError, TypeError, IndexError, AttributeError):
        return body, ""
    return (message if isinstance(message, str) else body), (uid if isinstance(uid, str) else "")


def _store(document: str, text: str) -> tuple[str, str]:
    try:
        found: dict[str, Any] = msgspec.json.decode(document, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return "", " ".join(text.split())
    category = str(found.get("audit_category", "")).lower().replace("_", " ")
    target = found.get("audit_rest_request_path") or found.get("audit_request_privilege") or ""
    if indices := found.get("audit_trace_indices"):
        target = f"{target} on {', '.join(map(str, indices))}"
    who = found.get("audit_request_effective_user") or found.get("audit_request_initiating_user") or ""
    return str(who), " ".join(filter(None, (category, str(found.get("audit_rest_request_method", "")), str(target))))

"""What the store is told about rights and indices (pure): the documents of its security plugin, and the audit template.

Sources: https://docs.opensearch.org/2.19/security/configuration/yaml/ for the documents,
https://docs.opensearch.org/2.19/security/access-control/permissions/ for the names of actions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import bcrypt
import msgspec

from dualtrack.security.audit.index_documents import ASKED

#: What an audit index is called: `audit-HOST-2026.11.25`. Fixed in length after the host's name, so that the host `a`
#: has no right to the indices of the host `a-b`.
AUDIT_INDEX = "audit-${user.name}-????.??.??"
AUDIT = "audit-*"
#: A number that is one: without the last word the store takes text and lists for it.
LONG = {"type": "long", "coerce": False}
#: What an index of ordinary logs is called: `logs-HOST-2026-11-25`.
LOGS_INDEX = "logs-${user.name}-????-??-??"
#: Where a host asks for indices.
ASKED_INDEX = ASKED + "${user.name}"
#: What a host may do with its indices: add. Whoever may create one chooses its settings and how many there are, and so
#: could have the store take nobody's records any more.
ADDING = ["indices:data/write/index", "indices:data/write/bulk*"]
#: Everything but audit indices and what the store keeps for itself.
ORDINARY = "/(?!audit-)[^.].*/"
#: Rights that a person can have here, and what each is called in ROLES.
RIGHTS = ("auditor", "administrator")
#: What a token must say of whom it is for, and of who made it.
AUDIENCE, ISSUER = "dualtrack-store", "dualtrack"
#: bcrypt's work factor, as OpenSearch's own tool has it.
ROUNDS = 12

Documents = dict[str, dict[str, Any]]


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody with ``rights`` (of RIGHTS) here: a person by name, or a temporary grant by its number."""

    name: str
    rights: tuple[Literal["auditor", "administrator"], ...]
    kind: Literal["person", "glass"] = "person"

    @property
    def backend_role(self) -> str:
        """What a certificate, a token or a user must bear to be this one."""
        return f"{self.kind}-{self.name}"


def security(
    members: Sequence[Member], passwords: Mapping[str, str], known: Mapping[str, Any], token_key: str = ""
) -> Documents:
    """Return the security plugin's documents by their type.

    ``passwords`` are those of people who have one, by name; ``known`` are the users that the store has now: a hash that
    fits stays. ``token_key`` (PEM) checks tokens; without it there are none.
    """
    return {
        "config": {
            "_meta": _meta("config"),
            "config": {
                "dynamic": {
                    "http": {"anonymous_auth_enabled": False, "xff": {"enabled": False}},
                    "authc": {
                        "certificate": _domain(
                            0, {"type": "clientcert", "challenge": False,
                                "config": {"username_attribute": "cn", "roles_attribute": "ou"}}, "noop",
                        ),
                        "password": _domain(2, {"type": "basic", "challenge": True}, "internal"),
                    } | ({"token": _domain(1, _tokens(token_key), "noop")} if token_key else {}),
                    "authz": {},
                    # Ten wrong passwords for a user: a minute's pause. Not by address: anybody on a host could then
                    # keep its shipper out.
                    "auth_failure_listeners": {
                        "guessing": {
                            "type": "username", "authentication_backend": "internal", "allowed_tries": 10,
                            "time_window_seconds": 60, "block_expiry_seconds": 60, "max_blocked_clients": 1000,
                            "max_tracked_clients": 1000,
                        }
                    },
                }
            },
        },
        "internalusers": {"_meta": _meta("internalusers")} | {
            name: {
                "hash": _hash(passwords[name], known.get(name, {}).get("hash", "")), "reserved": True, "hidden": False,
                "backend_roles": [it.backend_role], "attributes": {}, "opendistro_security_roles": [],
                "static": False,
            }
            for it in members
            if it.kind == "person" and passwords.get(name := it.name)
        },
        "roles": {"_meta": _meta("roles")} | {
            name: _role(*rights, only=SEEN.get(name)) for name, rights in ROLES.items()
        },
        "rolesmapping": {"_meta": _meta("rolesmapping")} | {
            name: {"reserved": True, "hidden": False, "backend_roles": by, "hosts": [], "users": [],
                   "and_backend_roles": []}
            for name, by in {**MACHINES, **_mapped(members)}.items()
        },
        "actiongroups": {"_meta": _meta("actiongroups")},
        "tenants": {"_meta": _meta("tenants")},
        "nodesdn": {"_meta": _meta("nodesdn")},
        "audit": {"_meta": _meta("audit"), "config": AUDITED},
    }  # fmt: skip


#: What an administrator may do with ordinary indices. Each action is named, since the store compares an index's name
#: with rights, and not an alias': whoever may make aliases, also by a data stream, a rollover or a copy, can have what
#: is sent to an audit index of tomorrow written into one of their own. Not create, open or settings: the number of
#: shards is bounded for the whole store, and whoever can use it up by one index of many shards, or by replicas, has
#: the index of a host's next day refused. Indices are created by keepers and from the controller.
ADMINISTRATION = [
    "indices:data/read*", "indices:data/write*", "indices_monitor", "indices:admin/delete", "indices:admin/get",
    "indices:admin/mapping/*", "indices:admin/mappings/*get*", "indices:admin/refresh*", "indices:admin/flush*",
    "indices:admin/forcemerge*", "indices:admin/cache/clear", "indices:admin/analyze", "indices:admin/validate/query",
    "indices:admin/resolve/index",
]  # fmt: skip

#: Role to its rights: over the cluster, and as (indices, actions).
ROLES: dict[str, tuple[list[str], list[tuple[str, list[str]]]]] = {
    # A host that ships its trail. It creates documents in indices that bear its name, and cannot even read them. It may
    # ask which store this is: what one had that was lost, it sends again.
    "audit_shipper": (
        ["indices:data/write/bulk", "cluster:monitor/main"],
        [(AUDIT_INDEX, ADDING), (ASKED_INDEX, ADDING)],
    ),
    # A host that sends its ordinary logs: the same, in indices that the administrator may read and remove.
    "log_sender": (
        ["indices:data/write/bulk"],
        [(LOGS_INDEX, ADDING)],
    ),
    # A host that co-signs others' heads. It searches, and of what it finds it sees heads alone (SEEN).
    "witness": ([], [(AUDIT, ["indices:data/read/search"])]),
    # A node's own services. They take snapshots and look at them, and remove and restore none; they create the indices
    # that hosts ask for, and see how many documents are in which, and read none but what was asked.
    "keeper": (
        ["cluster:admin/repository/get", "cluster:admin/snapshot/create", "cluster:admin/snapshot/get",
         "cluster:admin/snapshot/status", "indices:data/write/bulk"],
        [(ASKED + "*", ["indices:data/read/search", "indices:data/write/delete", "indices:data/write/bulk[s]"]),
         (AUDIT, ["indices:admin/create", "indices:monitor/stats"]),
         ("logs-*", ["indices:admin/create", "indices:monitor/stats"])],
    ),
    "auditor": (
        ["cluster_monitor", "cluster_composite_ops_ro"],
        [(AUDIT, ["read", "indices_monitor", "indices:admin/get", "indices:admin/mappings/*get*",
                  "indices:admin/resolve/index"])],
    ),
    # No templates and no cluster settings: both reach into audit indices. No restore: under another name an audit index
    # could be read. All that takes the certificate that lies on the controller.
    "administrator": (
        ["cluster_monitor", "cluster_composite_ops_ro", "indices:data/write/bulk", "indices:data/write/reindex",
         "cluster:admin/repository/get", "cluster:admin/repository/verify", "cluster:admin/snapshot/create",
         "cluster:admin/snapshot/get", "cluster:admin/snapshot/status", "indices:admin/index_template/get"],
        [(ORDINARY, ADMINISTRATION), ("*", ["indices_monitor"])],
    ),
}  # fmt: skip

#: Who has a role by the kind of the certificate alone.
MACHINES = {"audit_shipper": ["shipper"], "log_sender": ["logger"], "witness": ["witness"], "keeper": ["keeper"]}
#: Which documents a role sees, where it does not see all: a query.
SEEN = {"witness": '{"bool": {"filter": [{"term": {"kind": "head"}}, {"exists": {"field": "segment"}}]}}'}

#: What the store writes into its own log: who was refused and who changed rights, not what was searched for.
AUDITED = {
    "enabled": True,
    "audit": {
        "enable_rest": True, "enable_transport": True, "resolve_bulk_requests": False, "log_request_body": False,
        "resolve_indices": False, "exclude_sensitive_headers": True, "ignore_users": [], "ignore_requests": [],
        "disabled_rest_categories": ["AUTHENTICATED", "GRANTED_PRIVILEGES"],
        "disabled_transport_categories": ["AUTHENTICATED", "GRANTED_PRIVILEGES"],
    },
    "compliance": {
        "enabled": True, "internal_config": True, "external_config": False, "read_metadata_only": True,
        "read_watched_fields": {}, "read_ignore_users": [], "write_metadata_only": True, "write_log_diffs": False,
        "write_watched_indices": [], "write_ignore_users": [],
    },
}  # fmt: skip


def audit_template(replicas: int, shards: int = 1) -> dict[str, Any]:
    """Return the template of audit indices: fields as in docs/reference/audit.md, the line itself not searched."""
    word = {"type": "keyword", "ignore_above": 8191}
    kept = {"type": "keyword", "index": False, "doc_values": False}
    return {
        "index_patterns": [AUDIT],
        "priority": 500,
        "template": {
            "settings": {"index": {"number_of_shards": str(shards), "number_of_replicas": str(replicas)}},
            "mappings": {
                "dynamic": "strict",
                "properties": {
                    "@timestamp": {"type": "date"},
                    "host": word, "kind": word, "source": word, "chain": word,
                    "n": LONG, "t": LONG, "segment": LONG,
                    "more": {"type": "boolean"},
                    "body": {"type": "text"},
                    "raw": kept, "line": kept,
                },
            },
        },
    }  # fmt: skip


def logs_template(replicas: int, shards: int = 1) -> dict[str, Any]:
    """Return the template of ordinary logs' indices.

    What the role log_forwarding sends can be searched, other fields are kept.
    """
    word = {"type": "keyword", "ignore_above": 8191}
    return {
        "index_patterns": ["logs-*-*-*-*"],
        "priority": 500,
        "template": {
            "settings": {"index": {"number_of_shards": str(shards), "number_of_replicas": str(replicas)}},
            "mappings": {
                "dynamic": "false",
                "properties": {
                    "@timestamp": {"type": "date"},
                    "host": word, "program": word, "severity": word, "facility": word,
                    "message": {"type": "text"},
                },
            },
        },
    }  # fmt: skip


def asked_index(replicas: int) -> dict[str, Any]:
    """Return how an index is made in which a host asks: a day is ten characters, and nothing else counts."""
    return {
        "settings": {"index": {"number_of_shards": 1, "number_of_replicas": replicas}},
        "mappings": {"dynamic": "false", "properties": {"day": {"type": "keyword", "ignore_above": 10}}},
    }


def shards(hosts: int, days: int, nodes: int) -> int:
    """Return how many shards a node must hold: what all hosts together may have in audit indices and logs, and some."""
    copies = min(2, nodes)
    return max(1000, 100 + -(-hosts * (2 * days + 1) * copies // nodes))


def _mapped(members: Sequence[Member]) -> dict[str, list[str]]:
    return {right: sorted(it.backend_role for it in members if right in it.rights) for right in RIGHTS}


def _tokens(key: str) -> dict[str, Any]:
    return {
        "type": "jwt", "challenge": False,
        "config": {
            "signing_key": key, "jwt_header": "Authorization", "jwt_clock_skew_tolerance_seconds": 5,
            "required_audience": AUDIENCE, "required_issuer": ISSUER, "subject_key": "sub",
            "roles_key": "roles",
        },
    }  # fmt: skip


def _meta(kind: str) -> dict[str, Any]:
    return {"type": kind, "config_version": 2}


def _domain(order: int, authenticator: dict[str, Any], backend: str) -> dict[str, Any]:
    return {
        "http_enabled": True, "transport_enabled": True, "order": order, "http_authenticator": authenticator,
        "authentication_backend": {"type": backend, "config": {}},
    }  # fmt: skip


def _role(cluster: list[str], indices: list[tuple[str, list[str]]], *, only: str | None = None) -> dict[str, Any]:
    return {
        "reserved": True, "hidden": False, "static": False, "cluster_permissions": cluster, "tenant_permissions": [],
        "index_permissions": [
            {"index_patterns": [pattern], "dls": only, "fls": [], "masked_fields": [], "allowed_actions": actions}
            for pattern, actions in indices
        ],
    }  # fmt: skip


def _hash(password: str, known: str) -> str:
    """Return the hash of a password; the known one where it is of this password."""
    secret = password.encode()
    try:
        if known and bcrypt.checkpw(secret, known.encode()):
            return known
    except ValueError:
        pass  # no hash of ours
    return bcrypt.hashpw(secret, bcrypt.gensalt(ROUNDS, prefix=b"2b")).decode()

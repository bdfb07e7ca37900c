"""The knowledge base of a site that is up, asked over HTTPS for a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec.structs import replace

from dualtrack.core.operator import operator
from dualtrack.inventory import deployment
from dualtrack.inventory.read import read_inventory
from dualtrack.knowledge import answering
from dualtrack.knowledge.messages import Found, Hit
from dualtrack.knowledge.service.people import AUDIENCE
from dualtrack.security.access import tokens
from dualtrack.serving.client import Client, End

GROUP = "role_knowledge_base"
#: A token that a command makes for itself.
TOKEN_MINUTES = 5


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A knowledge base of a track that is up: its host, its address, and the directory of its authority."""

    host: str
    url: str
    authority: str

    @property
    def ca_file(self) -> Path:
        """The authority by which its certificate is believed."""
        return Path(self.authority, "ca.pem")

    def client(self, name: str) -> Client:
        """Return a client that asks in the place of a person; the token, and so each record, names the operator too.

        Whoever holds the authority's key may ask for anybody.
        """
        until = datetime.now(UTC) + timedelta(minutes=TOKEN_MINUTES)
        token = tokens.issue(Path(self.authority), name, [], until=until, audience=AUDIENCE, operator=operator())
        return Client(self.url, self.ca_file, token, called="the knowledge base", look="dualtrack status")


def site() -> Site | None:
    """Return the knowledge base of the tracks that are up, the local one's first; None where there is none."""
    if not deployment.in_group(GROUP):
        return None
    inventory = read_inventory(deployment.inventories())
    every = inventory["_meta"]["hostvars"]
    hosts = sorted(
        inventory.get(GROUP, {}).get("hosts", ()), key=lambda it: every[it].get("dualtrack_track") != "local"
    )
    for name in hosts:
        facts = every[name]
        at = f"https://{facts.get('ansible_host', name)}:{facts.get('knowledge_base_port') or 8443}"
        return Site(host=name, url=str(facts.get("knowledge_base_url") or at),
                    authority=str(facts.get("knowledge_base_ca_dir") or ""))  # fmt: skip
    return None


class _Hits(msgspec.Struct, frozen=True):
    hits: list[Hit]


def search(at: Site, name: str, question: str, count: int) -> Found:
    """Return what the knowledge base of a site finds for a person."""
    return Found(
        version="", hits=at.client(name).post("/v1/search", {"question": question, "count": count}, _Hits).hits
    )


def ask(at: Site, name: str, question: str) -> Iterator[str | answering.Answered]:
    """Yield the answer that the knowledge base of a site makes for a person, and at last its sources."""
    for it in at.client(name).chat("knowledge", question):
        if isinstance(it, End):
            found = [] if it.citations is msgspec.UNSET else it.citations
            end = replace(it, citations=msgspec.UNSET)
            yield answering.Answered(citations=msgspec.convert(found, list[answering.Citation]), end=end)
        else:
            yield it

"""The former name of `remote.opensearch` for clusters."""

from __future__ import annotations

from dualtrack.remote.opensearch import Away, SearchStore, by_way_of, node

__all__ = ["Away", "SearchStore", "by_way_of", "node"]

"""Other machines: ssh configuration, connections and host keys, and the client of the search store (OpenSearch)."""

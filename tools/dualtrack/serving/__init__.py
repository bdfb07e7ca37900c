"""Model serving as its operator sees it: tenants and their API keys, gateways, and a client of the API.

`tenants` decides and keeps the file of tenants, `gateway` speaks with the program on a gateway host, `client` with the
API itself. Which hosts are gateways, and how they are reached, is a matter of `dualtrack.tracks.serving`.
"""

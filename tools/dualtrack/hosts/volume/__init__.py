"""Encrypted volumes: what is wanted, what is there, and what must not be done. Pure; the role sm4_volume acts on it."""

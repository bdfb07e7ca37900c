"""Inventories: who the hosts are, from OpenTofu, the live API and the operator's own facts."""

"""Tiers of stored data: what each costs, how long a restore takes, and restores that come to an end."""

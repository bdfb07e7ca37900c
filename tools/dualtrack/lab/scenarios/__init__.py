"""Drills: something is broken on purpose while work continues, and what it cost is counted."""

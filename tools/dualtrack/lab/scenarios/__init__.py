"""Drills: something is broken on purpose while work goes on, and what it cost is counted."""

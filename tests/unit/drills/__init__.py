"""Unit tests of dualtrack.drills."""

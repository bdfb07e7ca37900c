"""Unit tests of dualtrack.tracks."""

"""Unit tests of dualtrack.lab.scenarios."""

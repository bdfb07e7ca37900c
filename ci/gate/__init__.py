"""The test gate: runs every unit of tests, measures it, and does not run again what passed with the same inputs.

`python -m ci.gate --help` teaches it; docs/explanation/testing.md and docs/adr/0028 say how the result cache decides.
"""

"""The audit trail: a hash chain a host, sealed in segments by keys that evolve. The format is docs/reference/audit.md.

`record`, `head` and `proof` are the format's arithmetic and touch nothing; `writer` is the only module that writes a
trail, `check` the only one that verifies it.
"""

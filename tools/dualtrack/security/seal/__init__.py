"""Sealed files: weights and indices that leave the encrypted volume. The format is docs/reference/seal.md.

`chunks` and `header` are the format's arithmetic and touch nothing; `libgcrypt` and `libcrypto` are the only modules
that call C libraries; `place` and `tree` are the only ones that make files appear.
"""

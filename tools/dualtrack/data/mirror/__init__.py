"""A package repository of our own: what an air-gapped site installs from, signed and kept in the cache.

>>> from dualtrack.data.mirror import build
>>> build(cache_dir() / "mirror", print)   # doctest: +SKIP
"""

from dualtrack.data.mirror.repository import Mirror, build

__all__ = ["Mirror", "build"]

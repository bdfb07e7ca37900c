"""Checkpoints between S3 and a host's disk: versions that never change, a cache that never shows half of one.

- `address`: how a checkpoint is named; `manifest`: what belongs to a version, with its digests. Both pure.
- `remote`: the calls to S3, and what their failures mean.
- `cache`: the directory on the disk: what is complete, what is in use, what goes first.
- `journal`: which parts of an unfinished version are safely on the disk.
- `named`, `fill`: the versions that a host must have, and how they come there.
- `program`, `launcher`: all of this as an archive for hosts that have Python and no package index.
- `fetch`: parts side by side, each checked; `pull` and `push`: the whole of it, one way and the other.
"""

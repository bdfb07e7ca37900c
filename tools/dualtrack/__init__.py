"""Two tracks, one command line: the cloud pools and the sovereign local servers of one deployment."""

import gc

__version__ = "0.1.0"

# Programs that start often and end soon: with Python's own threshold (700) a tenth of their processor time goes into
# looking for garbage among the modules that they have just loaded.
gc.set_threshold(50_000)

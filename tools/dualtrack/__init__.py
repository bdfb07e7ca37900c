"""Two tracks, one command line: the cloud pools and the sovereign local servers of one deployment."""

__version__ = "0.1.0"

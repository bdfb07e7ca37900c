"""A private certificate authority: a directory on the controller, for the project's services and their callers."""

"""Programs that run on the hosts themselves: one file each, the standard library alone, Python 3.10 and newer.

The roles copy them (`roles/<role>/files/` holds links to this directory), the command line and the tests import them.
"""

"""Linux software RAID: what is there, read from `mdadm` and the kernel, and what is to do to get what is wanted.

All of it pure; the role `nvme_raid` reads the host before and runs the steps after.
"""

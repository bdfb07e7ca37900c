"""What runs on hosts or decides for them: RAID and volume plans, the InfiniBand fabric, agents, the bundle."""

"""The two tracks as a whole: bring up, configure, verify, take down, and what they are doing now."""

"""InfiniBand: is the fabric cabled, as fast, as clean and as managed as its operator declared it?

`declared` reads the operator's file, `outputs` runs infiniband-diags (here, on a host, or not at all: recorded),
`parse` reads what they print, `compare`, `counters` and `managers` hold one against the other. Only `outputs` touches
the world.
"""

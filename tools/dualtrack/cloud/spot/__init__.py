"""The spot planner: how many nodes of which kind at which hour and in which zone, what that costs, and why."""

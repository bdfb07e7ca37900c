"""Who may do what: one file of people and roles, and what it becomes on hosts, in the search store and in Slurm."""

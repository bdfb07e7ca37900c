"""The search store that audit trails and logs go to: who may do what in it, and how its controller speaks to it."""

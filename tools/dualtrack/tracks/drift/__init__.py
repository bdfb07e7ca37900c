"""Drift: what runs beside what was declared, resource by resource and host by host, and who changed it."""

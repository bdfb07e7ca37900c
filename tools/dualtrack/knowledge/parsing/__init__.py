"""Documents become blocks of text, each in a process of its own with limits (`child`, `sandbox`)."""

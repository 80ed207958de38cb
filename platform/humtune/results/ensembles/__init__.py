"""Several trials as one detector: chosen together, recorded, and read like a single one."""

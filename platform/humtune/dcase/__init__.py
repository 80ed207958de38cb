"""The challenge's own files: scores and decisions, truth, and their evaluation."""

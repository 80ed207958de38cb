"""What `from humtune import …` gives; `humtune` itself says which names, docs/api.md what they do."""

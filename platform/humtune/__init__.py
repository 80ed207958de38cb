"""humtune: searches, per machine, for the detector that best hears it go wrong."""

__version__ = "0.1.0"

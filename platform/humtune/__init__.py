"""humtune: searches, per machine, for the detector that best tells when it goes wrong."""

__version__ = "0.1.0"

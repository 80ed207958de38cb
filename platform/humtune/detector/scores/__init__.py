"""Anomaly scores: how strange a clip's embeddings are beside those of the training clips.

Every score type is built on the reference embeddings once and then maps embeddings [n, k] of chunks to scores
float64 [n]; higher is more anomalous. All of them come from one forward pass of the network.
"""

from humtune.detector.scores.clip import SCORES, ClipScore

__all__ = ["SCORES", "ClipScore"]

"""Anomaly scores: how strange a clip is beside the training clips, by what an encoder gives of both."""

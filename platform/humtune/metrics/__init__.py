"""From scores to figures: AUC and Ω, how sure they are, what choosing is worth, thresholds."""

"""The way of a prediction from its admission to its settlement."""

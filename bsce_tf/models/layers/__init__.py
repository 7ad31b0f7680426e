"""Layers that Keras does not have, or that are faster here than in Keras."""

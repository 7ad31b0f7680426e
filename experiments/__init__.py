"""Experiments: lists of overrides, run one after the other, to tables."""

"""Finds wrong labels of a training set by confident learning, and cleans it."""

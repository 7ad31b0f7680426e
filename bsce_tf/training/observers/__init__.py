"""Observers of training: progress, TensorBoard, experiment trackers, a user's callbacks."""

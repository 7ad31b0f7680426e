"""What looks on while a run trains: progress, TensorBoard, trackers, a user's callbacks."""

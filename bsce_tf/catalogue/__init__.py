"""What one does to data before training: inspect, verify, pack."""

"""Strategy, callbacks and the training loop."""

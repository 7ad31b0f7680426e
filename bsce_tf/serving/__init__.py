"""Export as a SavedModel for TensorFlow Serving, and a client."""

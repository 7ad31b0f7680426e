"""What needs the images of an index: making it, predicting and evaluating by neighbours."""

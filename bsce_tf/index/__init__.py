"""An index of images: feature vectors, labels and paths, and answers by nearest neighbours."""

"""Takes the images of a review to another labelling program, and its decisions back."""

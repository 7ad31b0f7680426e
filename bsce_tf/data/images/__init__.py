"""What is done to one image: decode, crop, augment, check."""

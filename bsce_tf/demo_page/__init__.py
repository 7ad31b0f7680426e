"""A local page on which one drops a picture and sees what a trained model says."""

"""What the stages between the images and the predictions run."""

"""MLflow, from outside a training and from inside its own process."""

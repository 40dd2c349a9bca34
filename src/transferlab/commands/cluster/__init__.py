"""The trainings of params.yaml on many machines, through Ray."""

"""The published run's model and pictures, for the scripts."""

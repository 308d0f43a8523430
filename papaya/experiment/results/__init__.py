"""Store the results of a run in a folder, and read them back."""

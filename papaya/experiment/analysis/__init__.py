"""Turn the results of a run into ratios, intervals and verdicts."""

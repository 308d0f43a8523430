"""Run the experiment: start subjects, put them under load, count their CPU time."""

"""What is built here, as nobody publishes it: a file each."""

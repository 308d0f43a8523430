"""What papaya reads from clients, files and servers, given any bytes."""

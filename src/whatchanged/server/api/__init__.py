"""HTTP interfaces and the server process."""

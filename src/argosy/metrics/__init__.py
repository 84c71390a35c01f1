"""What the server counts, and how it shows it."""

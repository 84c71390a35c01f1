"""Worker processes: their states, their start and end, the link to them and the memory they share."""

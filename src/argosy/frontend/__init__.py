"""HTTP by hand on httptools: listeners, connections, routes and the access log."""

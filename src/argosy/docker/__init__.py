"""Container images: what an image says about its contents, the Dockerfile for a handler, and the programs that build it."""

"""Models as their operator sees them: register, scale, describe, unregister."""

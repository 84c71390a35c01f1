"""Archives, manifests and the places that models come from."""

"""Manifests for Kubernetes and KServe that run an image of Argosy: checked wishes in, text out; no cluster is ever asked."""

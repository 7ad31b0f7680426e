"""Heads for very many classes: divided among the replicas, or with sampled classes."""

"""Heads of very many classes: their parts on several replicas, and samples of the classes."""

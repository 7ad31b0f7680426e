"""Metrics over whole sets, tables and prediction files."""

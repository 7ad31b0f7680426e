"""Workdirs in buckets."""

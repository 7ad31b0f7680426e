"""Finds out which images there are: folders, tables and the index of both."""

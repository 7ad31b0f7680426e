"""Reads encoded images in any order, from files and from what holds many of them."""

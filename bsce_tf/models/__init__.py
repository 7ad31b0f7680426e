"""Backbones, classifier heads and conversion of published weights."""

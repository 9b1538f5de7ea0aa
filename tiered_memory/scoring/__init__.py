"""Judging text: importance, recall, ranking, packing. Pure."""

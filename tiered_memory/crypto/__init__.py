"""Sealing records and keeping the keys."""

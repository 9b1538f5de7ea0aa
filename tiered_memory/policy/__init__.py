"""Policies: TOML text in, frozen rules out. Pure."""

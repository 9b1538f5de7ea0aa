"""Consent, rights, and the audit tree. Pure."""

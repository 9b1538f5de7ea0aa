"""Stored bytes: the plaintext formats inside the seal, and the audit leaf. Pure, versioned, frozen."""

"""The transactional truth."""

"""Accounts of the processing: requirements judged by facts, records of processing activities, and their pages. Pure."""

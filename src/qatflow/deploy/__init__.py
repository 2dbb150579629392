"""Puts the workflow's files, which a wheel has inside, into a folder of the user."""

"""Edits as a chat orders them: from a photo and a wish to a job, and the one message that tells of it."""

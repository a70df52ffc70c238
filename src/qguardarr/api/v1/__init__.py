"""The API as it is now: one router for each subject, below `/api/v1`."""

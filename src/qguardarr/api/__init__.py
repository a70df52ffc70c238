"""The HTTP API: what it asks of callers, what it answers, and in which form."""

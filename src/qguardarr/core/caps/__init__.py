"""The cap in force of each tracker: the configured one, as modifiers change it (`chain`)."""

"""From what is in force and what is wanted to the writes of one cycle."""

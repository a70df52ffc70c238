"""What changes a cap for a while."""

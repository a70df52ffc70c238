"""Modifiers of a tracker's cap."""

"""Reconcile limits in force with wanted ones: the writes of one cycle."""

"""The decision, pure: no I/O, no clock, no logging. Time arrives as an argument; the same input gives the same plan."""

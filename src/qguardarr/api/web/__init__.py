"""Pages for browsers: the landing page, errors in words, and `/docs`."""

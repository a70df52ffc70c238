"""Who may use the API: key, sessions, logins, and the origin of a request."""

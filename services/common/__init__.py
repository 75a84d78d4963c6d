"""Plumbing that every service shares; kept small, and free of what Filo decides."""

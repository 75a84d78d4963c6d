"""The control API: what a platform asks of a relay, and what it may watch."""

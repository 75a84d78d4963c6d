"""Gemini's side of the relay: one connection after another, what is sent, and what comes."""

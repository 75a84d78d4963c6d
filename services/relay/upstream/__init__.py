"""Gemini Live on the wire: the setup, the messages, one connection."""

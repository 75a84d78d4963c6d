"""Training runs: an AI prospect talks to the agent, and the run survives every cut."""

"""The relay: a client's WebSocket on one side, Gemini Live on the other, and a conversation that outlives both."""

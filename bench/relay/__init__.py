"""What a relayed audio message costs: Filo beside the floor of its transport, google-genai and a TCP proxy."""

"""The services of Filo, each a room of its own."""

"""A wire-faithful Gemini Live to develop and test against. No other service imports it."""

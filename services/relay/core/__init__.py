"""The conversation as pure decisions: no I/O, no clock, no randomness.

A driver tells `conversation.Conversation` what happened, as one of `events`, and does what it answers, a list of
`effects`. The whole behaviour can be learned and tested from here alone.
"""

"""Feedback in the handle store: advice to the agent, kept until it is delivered, and as long as it is in the context.

`records` holds the values, `rules` decides, `statements` and `programs` speak SQL; how a request must look is in
`services.handles.limits`.
"""

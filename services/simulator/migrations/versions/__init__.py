"""One module a revision, each forward and back."""

"""What makes and checks the tree: run through the Makefile, shipped with no service."""

"""How the schema came to be, one revision a step: expand first, contract in a later release."""

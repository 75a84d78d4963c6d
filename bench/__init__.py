"""What Filo can do in a second, measured beside what its plumbing alone can do."""

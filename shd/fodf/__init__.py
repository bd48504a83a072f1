"""fodf."""

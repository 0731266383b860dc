"""Ways to take money. Each speaks in the types of `base`; its SDK is imported in its own module alone."""

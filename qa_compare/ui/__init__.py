"""The page: components and wiring. What they show is computed elsewhere."""

"""Encoders, their adapters, and what they read: from a name or a folder to a model that can answer."""

"""Offline training. One command a method, one shared loop; what it leaves in `adapters/` is all that the page reads."""

"""The Gradio page: one file a tab, its parts and its endpoints."""

"""What stands around Gradio: the port, limits, the request log, and the only file that touches its internals."""

"""Pure ASGI middleware: none of it buffers, so streams pass through untouched."""

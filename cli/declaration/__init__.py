"""Resources declared in a file: read, compared with what exists, applied, and written from what exists."""

"""Reading images of all formats."""

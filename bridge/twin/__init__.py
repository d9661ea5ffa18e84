"""The torch twin of the texture unit."""

"""What the library is good for, measured on data that others published."""

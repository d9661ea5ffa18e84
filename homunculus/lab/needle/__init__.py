"""Trains the reader of the needle task."""

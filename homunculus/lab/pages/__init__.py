"""Pages of real fonts with one question each, read by a reader that others made."""

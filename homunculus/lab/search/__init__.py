"""What finding a word costs: ways to find a key on a page, and how often each does for so many tokens."""

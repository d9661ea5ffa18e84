"""Does looking help? Every way to spend a budget of tokens on the needle task, with one encoder, in one table."""

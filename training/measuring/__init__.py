"""What a finished network is worth: its answers, how far to trust them, what it makes of what it does not know."""

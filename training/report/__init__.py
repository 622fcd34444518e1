"""One self-contained HTML page about what a checkpoint is worth."""

"""What a model is, what it eats and how it is stored."""

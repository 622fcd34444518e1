"""What comes and goes over a connection: the protocol and its desk, and how headers and bodies are read."""

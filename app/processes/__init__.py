"""The processes of the service: how they start and stop, and share connections, cores and threads."""

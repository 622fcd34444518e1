"""What `app/batching.py` stands on: how batches are formed, and who runs them."""

"""The service: one checkpoint behind POST /predict."""

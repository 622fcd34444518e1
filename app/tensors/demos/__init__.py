"""The scripts of the tensor lab; each runs alone, and app/tensors/catalogue.py says what can be changed in it."""

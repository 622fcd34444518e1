"""The folder of one run: what stands in it, who works in it, how it is gone on with."""

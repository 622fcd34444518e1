"""The tensor lab: small scripts about tensors, run step by step and looked at."""

"""Offline: pictures in folders become one checkpoint file.

What teaches a network, and what can be done with it then, stands in this folder; around it are packages, each of
which imports only from those before:

data        what is learnt from: read, looked at, divided
runs        the folder of a run, from which it can be gone on with
measuring   what a finished network is worth
report      one page about that
commands    what is typed, and what is printed
"""

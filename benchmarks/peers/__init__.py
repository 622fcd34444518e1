"""The servers that Glimpse is compared with, each in an environment of its own under .peers/."""

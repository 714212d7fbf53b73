"""The kit for authors of plugins: a skeleton to begin with, a trial before it is given away, an installation to go back from."""

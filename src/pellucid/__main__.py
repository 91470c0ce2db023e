"""`python -m pellucid`."""

from pellucid.cli import program

program()

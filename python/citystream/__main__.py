"""`python -m citystream`."""

from .cli import main

main()

"""`python -m homunculus`."""

from homunculus.cli import main

main()

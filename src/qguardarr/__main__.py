"""`python -m qguardarr`."""

from qguardarr.cli import main

main()

"""`python -m concur.cli`: the command line where no script is installed."""

from concur.cli import main

main()

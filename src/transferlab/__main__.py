"""`python -m transferlab`: the command, where it is not installed."""

from .commands.main import main

if __name__ == "__main__":
    main()

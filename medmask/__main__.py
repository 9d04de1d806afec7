"""``python -m medmask`` is the ``medmask`` command."""

from medmask.commands.main import main

if __name__ == "__main__":
    main()

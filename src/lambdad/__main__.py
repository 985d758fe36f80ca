"""`python -m lambdad` is the `lambdad` command."""

from lambdad.cli.main import main

if __name__ == "__main__":
    main()

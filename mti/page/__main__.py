"""`python -m mti.page`."""

from mti.page import main

if __name__ == "__main__":
    main()

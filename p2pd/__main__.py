"""`python -m p2pd` is the daemon."""

from p2pd.daemon.main import main

if __name__ == "__main__":
    main()

"""`python -m shd`: the program without its script, as `torchrun -m shd` starts it."""

from shd.cli.main import run

if __name__ == "__main__":  # processes that make examples import this module too
    run()

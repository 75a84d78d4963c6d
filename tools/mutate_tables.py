"""Change rows of the tables that decide, one at a time and at random, and show which unit test fails for each."""

import argparse
import random
import sys

from tools import mutations


def main() -> int:
    """The command; the exit code is 1 where a mutation is caught by no test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10, help="how many rows; 0 for every mutation of every row")
    parser.add_argument("--seed", type=int, default=None, help="chooses the rows; a new one each time if not given")
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed  # noqa: S311 - no secret
    chosen = list(mutations.every())
    if given.rows:
        rows = sorted({(mutation.table, mutation.row) for mutation in chosen})
        chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
        drawn = chance.sample(rows, min(given.rows, len(rows)))
        chosen = [chance.choice([m for m in chosen if (m.table, m.row) == row]) for row in drawn]
    missed = 0
    for mutation in chosen:
        caught = mutations.caught_by(mutation)
        missed += caught is None
        print(f"{mutation.table}  {mutation.row}\n    {mutation.change}\n    {caught or 'CAUGHT BY NO TEST'}")
    print(f"{len(chosen) - missed} of {len(chosen)} mutations are caught by a unit test (seed {seed}).")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

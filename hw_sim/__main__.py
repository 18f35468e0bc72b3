"""`python -m hw_sim plant …` and `… cloud …`: two processes, the other ends of the daemon's wires."""

from __future__ import annotations

import sys

USAGE = "usage: python -m hw_sim {plant,cloud} [options]; --help after either says more\n"


def main(argv: list[str]) -> int:
    """Dispatch to a subcommand; each imports only what it needs."""
    if argv[:1] == ["plant"]:
        from hw_sim.plant import main as plant

        return plant(argv[1:])
    if argv[:1] == ["cloud"]:
        from hw_sim.cloud.main import main as cloud

        return cloud(argv[1:])
    wants_help = argv[:1] in (["-h"], ["--help"])
    (sys.stdout if wants_help else sys.stderr).write(USAGE)
    return 0 if wants_help else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

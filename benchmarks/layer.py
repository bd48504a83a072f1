"""One layer by every system: time, error against double precision, distance from the machine's floor.

    python -m benchmarks.layer [--channels-in 32] [--channels-out 64] [--nside 8] [--voxels 8] [--threads 2]

All but PONITA have the same weights and compute the same function, RT-ESD on the whole sphere. The error of the second
table is the largest of answer and gradients. The floor is the least time of shd's function in the row's precision.
"""

import sys
from collections.abc import Sequence

from benchmarks.harness import tables
from benchmarks.harness.entry import option_parser, prepare, show, store
from benchmarks.harness.floors import block_multiplications, measured_rates
from benchmarks.layer_systems import RIVAL, SYSTEMS, LayerProblem, LayerSize
from shd.graphs.hemisphere import vertex_count

COLUMNS = (tables.ERROR, tables.FLOOR, tables.MEMORY)
PASSES = {"forward": False, "forward and backward": True}


def main(options: Sequence[str] = ()) -> None:
    """Print one table for the forward pass, one with the backward pass."""
    parser = option_parser(__doc__)
    parser.add_argument("--channels-in", type=int, default=32)
    parser.add_argument("--channels-out", type=int, default=64)
    parser.add_argument("--nside", type=int, default=8)
    parser.add_argument("--voxels", type=int, default=8, help="along each side of the cube")
    arguments = parser.parse_args(options)
    prepare(arguments.threads)
    size = LayerSize(arguments.nside, arguments.channels_in, arguments.channels_out, arguments.voxels)
    rates = measured_rates(arguments.threads)
    each = block_multiplications(size.nside) / vertex_count(size.nside)
    print(f"floor: {rates}; {each:.0f} multiplications a vertex into the eigenbasis and back, 4 a channel pair")
    problem, results = LayerProblem(size), {}
    for passes, backward in PASSES.items():
        title = f"Layer, {passes}: {size}, {arguments.threads} threads"
        cases = (problem.case(system, backward, rates) for system in SYSTEMS)
        results[title] = show(title, cases, COLUMNS, rival=RIVAL)
    store(arguments, results, rates)


if __name__ == "__main__":
    main(sys.argv[1:])

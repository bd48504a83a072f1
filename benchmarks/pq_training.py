"""A training step of the segmentation networks, each in a process of its own: seconds and peak memory.

    python -m benchmarks.pq_training [--side 32] [--samples 20] [--threads 2]

One step (forward, backward, Adam) of the networks of `SegmentationConfig`'s default form on one patch, float32, with
and without recomputation. Memory is the largest resident set of the process, torch and shd included, which alone take
what the first row says; the seconds are those of the process, too.
"""

import sys
from collections.abc import Sequence

import torch

from benchmarks.harness.entry import option_parser, prepare
from benchmarks.harness.processes import measured_process
from shd.models.pq.config import SegmentationConfig
from shd.models.pq.segmenter import build_segmenter

ROWS = {
    "imports alone": None,
    "plain CNN": ("cnn", False),
    "plain CNN, recomputed": ("cnn", True),
    "equivariant": ("equivariant", False),
    "equivariant, recomputed": ("equivariant", True),
}


def step(kind: str, recompute: bool, samples: int, side: int) -> None:
    """Train for one step."""
    torch.manual_seed(0)
    directions = torch.randn(samples, 3, dtype=torch.float64)
    network = build_segmenter(
        SegmentationConfig(kind=kind, classes=1), directions / directions.norm(dim=1, keepdim=True)
    )
    network.recompute = recompute
    optimiser = torch.optim.Adam(network.parameters())
    signal = torch.rand(1, samples, side, side, side)
    wanted = (torch.rand(1, 1, side, side, side) < 0.1).float()
    torch.nn.functional.binary_cross_entropy_with_logits(network(signal), wanted).backward()
    optimiser.step()


def main(options: Sequence[str] = ()) -> None:
    """Print a row a network."""
    parser = option_parser(__doc__)
    parser.add_argument("--side", type=int, default=32, help="of the patch in voxels")
    parser.add_argument("--samples", type=int, default=20, help="of q-space")
    parser.add_argument("--row", choices=ROWS, help="take this step in this process, and print nothing")
    arguments = parser.parse_args(options)
    prepare(arguments.threads)
    if arguments.row:
        network = ROWS[arguments.row]
        if network is not None:
            step(*network, arguments.samples, arguments.side)
        return
    print(f"\nTraining step, {arguments.side}³ voxels, {arguments.samples} samples, {arguments.threads} threads\n")
    print("| | wall clock of the process | processor time | peak memory |\n|---|---|---|---|")
    for row in ROWS:
        sizes = [f"--{name}={getattr(arguments, name)}" for name in ("side", "samples", "threads")]
        use = measured_process([sys.executable, "-m", "benchmarks.pq_training", "--row", row, *sizes], {})
        print(f"| {row} | {use.wall:.1f} s | {use.processor:.1f} s | {use.memory / 2**30:.2f} GiB |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
